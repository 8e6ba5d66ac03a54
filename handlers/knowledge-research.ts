// knowledge.research: from a question to a report. Keywords, searches, pages, their parts, claims with quotes, an answer. Owns the order of
// the steps, the searches, the comparison of claims and the answer, and that nothing stands there that no page says. Every step is kept as a
// checkpoint, so that a run which is interrupted asks nothing twice. The other steps are in worker/job/research/.
import { z } from "zod";
import { type Context, defineHandler, type Model, type SearchHit } from "../worker/job/handler.ts";
import { type Grouped, groupByMeaning } from "../worker/job/meaning.ts";
import { normalWords, numbersIn } from "../worker/job/normal-form.ts";
import { readAll, type Source } from "../worker/job/research/pages.ts";
import {
  type Asked,
  askParts,
  hasNumbersOf,
  type Part,
  planOf,
  rankParts,
} from "../worker/job/research/parts.ts";
import { markdownOf, Report } from "../worker/job/research/report.ts";
import {
  begin,
  coded,
  DONE,
  Input,
  inLanguage,
  NEVER_ORDERS,
  type Run,
  TOO_LONG,
  told,
  within,
} from "../worker/job/research/run.ts";
import { choosePages } from "../worker/job/research/sources.ts";
import { withoutMarks } from "../worker/job/template-marks.ts";
import { oneLine } from "../worker/job/text.ts";

export { claimsContent } from "../worker/job/research/parts.ts";

const KEYWORD_TOKENS = 40;
const ANSWER_TOKENS = 700;
const MAX_SENTENCES = 12;
/** So many claims stand in the report, and so many does the model get for the answer. */
const [MAX_CLAIMS, ANSWER_CLAIMS] = [60, 24];
const MAX_COMPARISONS = 24;
/** Of the time that is left. */
const SEARCHING_SHARE = 0.3;
/** For comparing the claims and writing the answer: a share of the time, within limits. */
const [ENDING_SHARE, MIN_ENDING_MS, MAX_ENDING_MS] = [0.15, 2_000, 60_000];

const KEYWORDS_INSTRUCTIONS = `You choose what to search the web for. After "Question:" stands a question, after "Keywords:" how many searches are wanted. Write so many different searches that would find pages with the answer, each of two to five words, without operators and quotes.`;
const ANSWER_INSTRUCTIONS = `After "Question:" stands a question, and below it numbered claims that were found in pages. Answer the question in a few sentences from these claims alone; give for each sentence the numbers of the claims that it rests on. Where claims contradict each other, say so and name both. Say nothing that no claim says. If the claims do not answer the question, say what they do say about it.
${NEVER_ORDERS}`;

/** What search services take. */
const LANGUAGE_TAG = /^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$/;

/** What the model gets to choose what is searched for. */
export const keywordsContent = (question: string, count: number): string =>
  `Question: ${oneLine(question)}\nKeywords: ${count}`;

/** What it gets to answer the question. */
export const answerContent = (question: string, claims: readonly string[]): string =>
  `Question: ${oneLine(question)}\n${claims.map((claim, at) => `${at + 1}. ${oneLine(claim)}\n`).join("")}Answer:`;

const Keywords = z.strictObject({ keywords: z.array(z.string().max(100)) });
const Sentences = z.strictObject({
  sentences: z
    .array(z.strictObject({ text: z.string().max(600), claims: z.array(z.int().min(1).max(99)).max(20) }))
    .max(MAX_SENTENCES),
});

// ── Keywords and searches ──

async function chooseKeywords(run: Run): Promise<string[]> {
  const { input, context, steps, modelName } = run;
  const { question, keywords: count } = input;
  context.progress(0, "Choosing what to search for");
  const content = keywordsContent(question, count);
  const instructions = KEYWORDS_INSTRUCTIONS;
  const of = [content, instructions, modelName];
  // An answer that is of no use is none that is kept, so that another run says so too.
  const answer = await told(run, () =>
    steps.once("keywords", of, z.array(z.string()), async () => {
      const maxTokens = KEYWORD_TOKENS * (count + 1);
      const { keywords } = await context.model.ask({ instructions, content, schema: Keywords, maxTokens });
      return usableKeywords(keywords, count);
    }),
  );
  if ("error" in answer) {
    const { code, message } = answer.error;
    run.failures.push({ step: "keywords", what: "", code, reason: message });
  }
  const found = "value" in answer ? answer.value : [];
  return found.length > 0 ? found : [oneLine(question)];
}

function usableKeywords(given: readonly string[], count: number): string[] {
  const all = given
    .map((one) => oneLine(withoutMarks(one)).replaceAll(/["“”]/g, ""))
    .filter((one) => /[\p{L}\p{N}]/u.test(one));
  return [...new Map(all.map((one) => [one.toLowerCase(), one])).values()].slice(0, count);
}

const Hits = z.object({
  hits: z.array(
    z.object({ url: z.string(), title: z.string(), snippet: z.string(), published: z.string().nullable() }),
  ),
  /** How often the service said that it is asked too often. */
  waits: z.int(),
});
type Searched = { query: string; hits: SearchHit[] | null; waits: number };

/** Where the keywords find nothing, the question's own words may. */
async function searchFor(run: Run, keywords: readonly string[]): Promise<Searched[]> {
  const searched = await searchAll(run, keywords);
  const own = oneLine(run.input.question);
  if (searched.some(({ hits }) => hits?.length !== 0) || keywords.includes(own)) return searched;
  return [...searched, ...(await searchAll(run, [own]))];
}

async function searchAll(run: Run, queries: readonly string[]): Promise<Searched[]> {
  const { context, failures, input } = run;
  context.progress(DONE.keywords, `Searching: ${queries.join(", ")}`);
  let first: unknown;
  const limitMs = SEARCHING_SHARE * run.leftMs();
  const searched = await Promise.all(
    queries.map(async (query): Promise<Searched> => {
      try {
        const found = await within(searchOne(run, query), limitMs);
        if (found) return { query, ...found };
        failures.push({
          step: "search",
          what: query,
          code: "timed_out",
          reason: `It took longer than ${Math.round(limitMs / 1_000)} seconds.`,
        });
      } catch (thrown) {
        if (context.signal.aborted) throw thrown;
        const { code, message } = coded(thrown);
        first ??= thrown;
        failures.push({ step: "search", what: query, code, reason: message });
      }
      return { query, hits: null, waits: 0 };
    }),
  );
  // Without a single page there is nothing to report; the job says what is wrong, and is tried again where that can help.
  if (first !== undefined && input.urls.length === 0 && searched.every(({ hits }) => hits === null))
    throw first;
  return searched;
}

async function searchOne({ input, context, steps }: Run, query: string) {
  const { pagesPerKeyword, language = "" } = input;
  const options = {
    count: Math.max(10, 2 * pagesPerKeyword),
    ...(LANGUAGE_TAG.test(language) && { language }),
  };
  return steps.once("search", [query, options, context.search.provider], Hits, async () => {
    let waits = 0;
    const onWait = (ms: number) => {
      waits += 1;
      context.progress(
        DONE.keywords,
        `Searching: ${query} again in ${Math.ceil(ms / 1_000)} s, because the service is asked too often`,
      );
    };
    const hits = await context.search.web(query, { ...options, signal: context.signal, onWait });
    return { hits, waits };
  });
}

const noteOn = ({ waits }: Searched) =>
  waits > 0 && {
    note: `the service said ${waits === 1 ? "once" : `${waits} times`} that it was asked too often, and was asked again later`,
  };

// ── Claims that say the same ──

type Statement = { text: string; evidence: string; part: Part };

async function merge(run: Run, asked: readonly Asked[], endingMs: number): Promise<Grouped<Statement>> {
  const { context, input } = run;
  const statements = asked.flatMap(({ part, found }) =>
    (found?.claims ?? []).map(({ claim, evidence }): Statement => ({ text: claim, evidence, part })),
  );
  if (statements.length > 1) context.progress(DONE.ask, `Comparing ${statements.length} claims`);
  const { question } = input;
  const model = comparing(run, endingMs / 2);
  return groupByMeaning(statements, { model, question, maxQuestions: MAX_COMPARISONS });
}

const Verdict = z.object({
  choice: z.string(),
  best: z.string().nullable(),
  probabilities: z.record(z.string(), z.number()),
});

/** The model as long as there is time; after that no two claims are the same unless their words are. */
function comparing(run: Run, endingMs: number): Pick<Model, "decide"> {
  const { context, steps, modelName } = run;
  const unsure = { choice: "uncertain" as const, best: null, probabilities: {} };
  return {
    async decide(question) {
      const of = [question.instructions, question.content, question.options, modelName];
      const leftMs = run.leftMs() - endingMs;
      if (run.isSpent || leftMs <= 0) return unsure as never;
      const step = told(run, () => steps.once("compare", of, Verdict, () => context.model.decide(question)));
      const verdict = await within(step, leftMs);
      return (verdict && "value" in verdict ? verdict.value : unsure) as never;
    },
  };
}

// ── The answer ──

type Claim = z.output<typeof Report>["claims"][number];
type Sentence = z.output<typeof Report>["answer"][number];

async function answer(
  run: Run,
  claims: readonly Claim[],
): Promise<{ sentences: Sentence[]; dropped: number }> {
  const { input, context, steps, modelName, failures } = run;
  const none = { sentences: [], dropped: 0 };
  const late = () => {
    run.partial.push("There was no time left to write the answer.");
    return none;
  };
  if (claims.length === 0 || run.isSpent) return none;
  context.progress(DONE.compare, "Writing the answer");
  const instructions = `${ANSWER_INSTRUCTIONS}\n${inLanguage(input, "it")}`;
  for (let count = Math.min(claims.length, ANSWER_CLAIMS); ; count = Math.ceil(count / 2)) {
    const content = answerContent(
      input.question,
      claims.slice(0, count).map(({ claim }) => claim),
    );
    if (run.leftMs() <= 0) return late();
    const asking = told(run, () =>
      steps.once("answer", [content, instructions, modelName], Sentences, () =>
        context.model.ask({ instructions, content, schema: Sentences, maxTokens: ANSWER_TOKENS }),
      ),
    );
    const written = await within(asking, run.leftMs());
    if (written === null) return late();
    if ("value" in written) return supported(written.value.sentences, claims.slice(0, count));
    if (written.error.code === TOO_LONG && count > 3) continue;
    const { code, message } = written.error;
    failures.push({ step: "answer", what: "", code, reason: message });
    return none;
  }
}

/** The sentences that rest on claims, without numbers that their quotes do not have. */
function supported(written: z.output<typeof Sentences>["sentences"], claims: readonly Claim[]) {
  const sentences = written.flatMap(({ text: said, claims: numbers }): Sentence[] => {
    const own = claims.filter(({ number }) => numbers.includes(number));
    const text = oneLine(withoutMarks(said));
    const quotes = own.flatMap(({ sources }) => sources.map(({ quote }) => quote));
    const inQuotes = new Set(quotes.flatMap((quote) => [...numbersIn(normalWords(quote))]));
    if (text === "" || own.length === 0 || !hasNumbersOf(text, inQuotes)) return [];
    return [{ text, claims: own.map(({ number }) => number) }];
  });
  return { sentences, dropped: written.length - sentences.length };
}

// ── The report ──

/** The claims that most sources make first, and the sources numbered as they are cited. */
function citations({ groups, contradictions }: Grouped<Statement>) {
  const sourcesIn = (group: readonly Statement[]) => new Set(group.flatMap(({ part }) => part.sources));
  const order = groups
    .map((group, at) => ({ group, at }))
    .toSorted((a, b) => sourcesIn(b.group).size - sourcesIn(a.group).size)
    .slice(0, MAX_CLAIMS);
  const cited = [...new Set(order.flatMap(({ group }) => [...sourcesIn(group)]))];
  const numberOf = new Map(order.map(({ at }, index) => [at, index + 1]));
  const claims = order.map(({ group }, index): Claim => {
    const quotes = new Map<number, Claim["sources"][number]>();
    for (const { part, evidence } of group)
      for (const source of part.sources)
        if (!quotes.has(source)) {
          const heading = part.path.length > 0 && { heading: part.path.join(" > ") };
          quotes.set(source, { source: cited.indexOf(source) + 1, quote: evidence, ...heading });
        }
    return { number: index + 1, claim: group[0]!.text, sources: [...quotes.values()] };
  });
  const pairs = contradictions.flatMap(([one, other]): [number, number][] => {
    const [a, b] = [numberOf.get(one), numberOf.get(other)];
    return a === undefined || b === undefined ? [] : [[Math.min(a, b), Math.max(a, b)]];
  });
  return { claims, cited, contradictions: pairs, leftOut: groups.length - order.length };
}

function sourceList(
  sources: readonly Source[],
  cited: readonly number[],
  claims: readonly Claim[],
  asked: readonly Asked[],
) {
  const all = [...cited, ...[...sources.keys()].filter((at) => !cited.includes(at))];
  return all.map((at, index) => {
    const { parts, canonicalUrl: _, blocked: __, ...page } = sources[at]!;
    const own = claims.filter(({ sources: by }) => by.some(({ source }) => source === index + 1));
    const count = asked.filter(({ part }) => part.sources.includes(at)).length;
    const chunks = { total: new Set(parts.map(({ text }) => text)).size, asked: count };
    return { ...page, number: index + 1, claims: own.map(({ number }) => number), chunks };
  });
}

const unreadOf = (sources: ReturnType<typeof sourceList>) =>
  sources
    .filter(({ chunks }) => chunks.asked < chunks.total)
    .map(
      ({ url, title, chunks }) => `${title ?? url}: ${chunks.total - chunks.asked} of ${chunks.total} parts`,
    );

function resumedOf({ steps }: Run) {
  const of = (kind: string) => steps.found.get(kind) ?? 0;
  const resumed = { searches: of("search"), pages: of("page"), chunks: of("claims") };
  return resumed.searches + resumed.pages + resumed.chunks > 0 ? { resumed } : {};
}

/** At least enough for what comes after the parts, and never most of the time. */
const endingMsOf = (leftMs: number) =>
  Math.min(leftMs / 2, Math.max(MIN_ENDING_MS, Math.min(MAX_ENDING_MS, ENDING_SHARE * leftMs)));

async function research(input: Input, context: Context): Promise<Report> {
  const began = performance.now();
  const run = await begin(input, context);
  const wantsSearch = input.search ?? input.urls.length === 0;
  // Its own error says how to set one up; before the model is asked for words that nobody can search for.
  if (wantsSearch && context.search.provider === null && input.urls.length === 0)
    await context.search.web(input.question);
  const keywords = wantsSearch ? await chooseKeywords(run) : [];
  const searched = wantsSearch ? await searchFor(run, keywords) : [];
  const wanted = choosePages({
    given: input.urls,
    found: searched.map(({ hits }) => (hits ?? []).map(({ url }) => url)),
    perSearch: input.pagesPerKeyword,
    most: input.maxPages,
  });
  const sources = await readAll(run, wanted);
  const ranked = await rankParts(run, sources, keywords);
  const endingMs = endingMsOf(run.leftMs());
  const plan = planOf(run, ranked, endingMs);
  const askedFrom = performance.now();
  const asked = await askParts(run, plan, endingMs);
  const { claims, cited, contradictions, leftOut } = citations(await merge(run, asked, endingMs));
  const written = await answer(run, claims);
  const tookSeconds = Math.round((performance.now() - askedFrom) / 100) / 10;
  if (leftOut > 0)
    run.notes.push(
      `${leftOut} more claims were found; the report has the ${MAX_CLAIMS} that most sources make.`,
    );
  const list = sourceList(sources, cited, claims, asked);
  const { promptTokens: prompt, cachedTokens: cached, completionTokens: completion } = context.used();
  const report = {
    question: oneLine(input.question),
    found: claims.length > 0,
    answer: written.sentences,
    claims,
    contradictions,
    sources: list,
    searches: searched.map((one) => ({ query: one.query, found: one.hits?.length ?? 0, ...noteOn(one) })),
    failures: run.failures,
    notRead: unreadOf(list),
    dropped: {
      claims: asked.reduce((sum, { found }) => sum + (found?.dropped ?? 0), 0),
      sentences: written.dropped,
    },
    partial: run.partial,
    notes: run.notes,
    model: run.modelName,
    durationMs: Math.round(performance.now() - began),
    estimate: { ...plan.estimate, tookSeconds },
    tokens: { prompt, cached, completion },
    ...resumedOf(run),
  };
  return { ...report, markdown: markdownOf(report) };
}

export default defineHandler({
  kind: "knowledge.research",
  summary:
    "Answers a question from the web or from given pages; each claim of the report has a quote that stands in its source.",
  input: Input,
  output: Report,
  run: research,
});
