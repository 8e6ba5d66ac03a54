// text.summarize: summarises one text or many. A long text is summarised in parts, and the summaries of its parts again, in as many levels
// as it takes; so are the summaries of many texts. Owns that order, the length, and that no number in a summary is invented. Reading
// pages and documents is left to the worker's reader.
import { z } from "zod";
import {
  type Context,
  defineHandler,
  type Page,
  refuse,
  refuseBlocked,
  type Unread,
  whyUnreadable,
  whyUnusable,
} from "../worker/job/handler.ts";
import { normalWords, numbersIn } from "../worker/job/normal-form.ts";
import {
  AboutPage,
  aboutPage,
  ObjectAddress,
  PageAddress,
  partsOf,
  refuseMime,
  TextItself,
  wordsField,
} from "../worker/job/parts.ts";
import { withoutMarks } from "../worker/job/template-marks.ts";
import { oneLine, sentences as sentencesOf } from "../worker/job/text.ts";
import { tokensIn } from "../worker/job/tokens.ts";

const MAX_CHARACTERS = 5_000_000;
const LENGTHS = { short: 1, medium: 3, long: 8 } as const;
const MAX_SENTENCES = 30;
/** Of a part of a long text: what becomes of it is summarised again. */
const PART_SENTENCES = 3;
const SENTENCE_TOKENS = 100;
/** A text of so few characters for each sentence that is wanted says no more than its summary would. */
const SHORT_SENTENCE = 300;
/** What the summaries may have together that are summarised again. Small enough for every model that can read a part. */
const REDUCE_TOKENS = 1_200;

// Small models that are told to summarise write about the text ("The text is a news article"); told to rewrite it, they do not.
const INSTRUCTIONS = `Rewrite the text after "Text:" shorter: in as many whole sentences as the number after "Summary:" says. Keep what matters most, with names, numbers and dates as they stand in the text, and add nothing. If the text is a numbered list, it has the summaries of several texts: put together what they say, without the numbers of the list, and say nothing twice.
Answer with these sentences and nothing else.`;

/** What the model gets to summarise a text, or the numbered summaries of several. */
export function summaryContent(part: string, sentences: number): string {
  return `Text: ${oneLine(part)}\nSummary: ${sentences}`;
}

/** One of the texts: its parts, or why there are none. */
type Source = {
  source: string;
  title: string | null;
  page?: z.input<typeof AboutPage>;
  obstacle?: "paywall";
} & ({ parts: string[] } | { failed: Unread; thrown: unknown });

// ── What the model writes ──

type Summary = { text: string; dropped: string[] };
type Write = (part: string, sentences: number) => Promise<Summary>;

const END_OF_SENTENCE = /[.!?。！？…]["'”’」』)\]）]{0,3}$/;
/** What models write before the summary. */
const HEAD = /^(?:(?:here is|here's) (?:a|the) [^:\n]{0,60}:|(?:text|summary|要約|概要)\s*[:：])\s*/i;
/** The last line of the prompt, repeated. */
const ECHO = /\n\s*summary\s*:\s*\d*\s*$/i;

/** At most as many sentences as are wanted. One that is cut off at the end is left out, unless it is the only one. */
function sentencesIn(answer: string, most: number, cutOff: boolean): string[] {
  const plain = withoutMarks(answer).trim().replace(ECHO, "").replace(HEAD, "");
  const all = sentencesOf(plain.replaceAll(/^\s*(?:[-*•]|\d{1,3}[.)])\s+/gm, ""));
  const whole = cutOff && all.length > 1 && !END_OF_SENTENCE.test(all.at(-1)!) ? all.slice(0, -1) : all;
  return whole.slice(0, most);
}

/** Japanese has no spaces between sentences. */
const join = (sentences: readonly string[]) => sentences.join(" ").replaceAll(/(?<=[。！？」』]) /g, "");

/** Numbers as they may be compared: 4th as 4. Small ones in words are none: "one of the". */
function numbersOf(text: string, { words = true } = {}): Set<string> {
  const numbers = [...numbersIn(normalWords(text))].map((number) =>
    number.replace(/^-|(?:st|nd|rd|th)$/g, ""),
  );
  const digits = new Set(text.normalize("NFKC").match(/\d+/g) ?? []);
  return new Set(words ? [...numbers, ...digits] : numbers.filter((one) => digits.has(one) || !isSmall(one)));
}

const isSmall = (number: string) => Number(number) <= 12;

/** The sentences with numbers that are not in the text: a known fault of small models. */
function invented(sentences: readonly string[], known: ReadonlySet<string>) {
  return sentences.filter((sentence) =>
    [...numbersOf(sentence, { words: false })].some((one) => !known.has(one)),
  );
}

/** Asks once more where the summary has numbers that are not in the text, and leaves such sentences out where it still has. */
async function write(
  { model }: Pick<Context, "model">,
  instructions: string,
  content: string,
  { known, most }: { known: ReadonlySet<string>; most: number },
): Promise<Summary> {
  const ask = async (more: object) => {
    let cutOff = false;
    const onCutOff = () => {
      cutOff = true;
    };
    const question = { instructions, content, maxTokens: SENTENCE_TOKENS * (most + 1), onCutOff, ...more };
    return sentencesIn(await model.ask(question), most, cutOff);
  };
  const first = await ask({});
  const wrong = invented(first, known);
  if (wrong.length === 0) return { text: join(first), dropped: [] };
  const second = await orEmpty(
    ask({ instructions: `${instructions}\n${ONLY_ITS_NUMBERS}`, temperature: 0.5 }),
  );
  const still = invented(second, known);
  const isBetter = second.length > 0 && still.length <= wrong.length;
  const [all, dropped] = isBetter ? [second, still] : [first, wrong];
  return { text: join(all.filter((one) => !dropped.includes(one))), dropped };
}

async function orEmpty(asking: Promise<string[]>): Promise<string[]> {
  try {
    return await asking;
  } catch (thrown) {
    if (whyUnusable(thrown) === undefined) throw thrown;
    return [];
  }
}

const ONLY_ITS_NUMBERS = "Write no number that does not stand in the text: leave it out.";

// ── Many into one ──

/** Numbered summaries in groups that fit together; at least two in each, so that every level has fewer. */
function groupsOf(summaries: readonly string[]): string[][] {
  const groups: string[][] = [];
  let room = 0;
  for (const summary of summaries) {
    const tokens = tokensIn(summary) + 3;
    const last = groups.at(-1);
    if (last && (last.length < 2 || tokens <= room)) last.push(summary);
    else {
      groups.push([summary]);
      room = REDUCE_TOKENS;
    }
    room -= tokens;
  }
  return groups;
}

const numbered = (summaries: readonly string[]) =>
  summaries.map((one, at) => `${at + 1}. ${oneLine(one)}`).join("\n");

/** Summaries summarised again, level by level, until one is left. */
async function reduce(summaries: readonly string[], most: number, write: Write): Promise<Summary> {
  const [only, ...others] = summaries;
  if (only === undefined || others.length === 0) return { text: only ?? "", dropped: [] };
  const groups = groupsOf(summaries);
  if (groups.length === 1) return write(numbered(summaries), most);
  const next = await Promise.all(
    groups.map((group) =>
      group.length === 1
        ? { text: group[0]!, dropped: [] }
        : write(numbered(group), Math.max(most, PART_SENTENCES)),
    ),
  );
  const reduced = await reduce(
    next.map(({ text }) => text).filter((text) => text !== ""),
    most,
    write,
  );
  return { text: reduced.text, dropped: [...next.flatMap(({ dropped }) => dropped), ...reduced.dropped] };
}

/** A text that has not more sentences than are wanted is its own summary. */
const isShort = (text: string, most: number) =>
  text.length <= SHORT_SENTENCE * most && sentencesOf(text).length <= most;

// ── Where the texts come from ──

const Text = z.string().max(MAX_CHARACTERS);
const Entry = z.union([
  Text.transform((text) => ({ text, title: undefined })),
  z.object({ text: Text, title: z.string().max(500).nullish() }),
]);

type Input = {
  text?: string | undefined;
  texts?: unknown[] | undefined;
  url?: string | undefined;
  urls?: string[] | undefined;
  s3?: string | string[] | undefined;
};

/** Each address with the name of its field. */
function addressesIn({ url, urls, s3 }: Input): [field: string, address: string][] {
  if (url !== undefined) return [["url", url]];
  if (typeof s3 === "string") return [["s3", s3]];
  const field = urls ? "urls" : "s3";
  return (urls ?? s3 ?? []).map((address, at) => [`${field}.${at}`, address]);
}

/** The reader of pages asks for these itself, so that the job's other addresses need not wait. */
const isWeb = (address: string) => /^https?:/i.test(address);

/** Reads one text. One that cannot be read costs itself, and no other. */
async function read(
  source: string,
  given: () => string | Page | Unread | Promise<string | Page>,
  context: Pick<Context, "pages" | "texts">,
  title?: string | null,
): Promise<Source> {
  try {
    const text = await given();
    if (typeof text !== "string" && "code" in text) throw text;
    if (typeof text !== "string") {
      refuseMime(text.text);
      refuseBlocked(text);
    }
    const parts = (await partsOf(text, context)).map((part) => part.text);
    if (parts.length === 0) refuse("invalid_input", "The text is empty.");
    if (typeof text === "string") return { source, title: title ?? null, parts };
    const obstacle = text.obstacle === "paywall" && { obstacle: text.obstacle };
    return { source, title: text.title, page: aboutPage(text), parts, ...obstacle };
  } catch (thrown) {
    const failed = whyUnreadable(thrown);
    if (failed === undefined) throw thrown;
    return { source, title: title ?? null, failed, thrown };
  }
}

const MAX_SOURCE = 2_000;

/** A data: URI is as long as what is in it, and names nothing: its field does. */
const nameOf = (field: string, address: string) =>
  /^data:/i.test(address) ? field : address.slice(0, MAX_SOURCE);

function readAll(
  input: Input,
  context: Pick<Context, "pages" | "texts" | "signal">,
  fetched: Record<string, Page | Unread | undefined>,
): Promise<Source>[] {
  const { text, texts } = input;
  if (text !== undefined) return [read("text", () => text, context)];
  if (texts !== undefined)
    return texts.map((one, at) => {
      const entry = Entry.safeParse(one);
      const wrong = () => refuse("invalid_input", `texts.${at}: it is neither a text nor {title, text}.`);
      return read(`texts.${at}`, () => entry.data?.text ?? wrong(), context, entry.data?.title);
    });
  return addressesIn(input).map(([field, address]) => {
    const page = () =>
      isWeb(address) ? context.pages.read(address, { signal: context.signal }) : fetched[field]!;
    return read(nameOf(field, address), page, context);
  });
}

// ── What the budget allows ──

/** Of it. The rest is for summarising the summaries, and for second tries. */
const FOR_PARTS = 0.7;

/** How many parts of each text are read: those that come first, of all texts in order. */
function partsWithin(
  { requests, tokens }: Context["budget"],
  sources: readonly Source[],
  instructions: string,
): number[] {
  const each = tokensIn(instructions) + SENTENCE_TOKENS * PART_SENTENCES;
  let [requestsLeft, tokensLeft] = [requests * FOR_PARTS, tokens * FOR_PARTS];
  return sources.map((source, at) => {
    const parts = "parts" in source ? source.parts : [];
    const over = parts.findIndex((part) => {
      requestsLeft -= 1;
      tokensLeft -= each + tokensIn(part);
      return requestsLeft < 0 || tokensLeft < 0;
    });
    return over === -1 ? parts.length : Math.max(over, at === 0 ? 1 : 0);
  });
}

const OVER_BUDGET: Unread = {
  code: "budget_exceeded",
  message: "The texts before it have used the job's budget of requests and tokens.",
};

const Failure = z.strictObject({ code: z.string(), message: z.string() });
const Dropped = z
  .array(z.string())
  .optional()
  .describe(
    "Sentences that the model wrote and that were left out: they have numbers that are not in the text.",
  );

type Summarised = z.input<typeof Summarised>;
const Summarised = z.strictObject({
  source: z.string().describe("`text`, `texts.0`, the address, or for a data: URI its field."),
  title: z.string().nullable(),
  summary: z.string().nullable(),
  page: AboutPage.optional().describe("What is known of the page."),
  obstacle: z.literal("paywall").optional().describe("Only the part before a paywall could be read."),
  failed: Failure.optional().describe("Why there is no summary: an error's code and message."),
  unread: z
    .strictObject({ parts: z.int(), characters: z.int() })
    .optional()
    .describe("What the summary leaves out: the budget did not suffice, or the model found no words for it."),
  dropped: Dropped,
});

/** Counts what is asked. More may come up on the way, so what was reported is never taken back. */
function counter(progress: Context["progress"]) {
  let [done, planned, reported] = [0, 0, 0];
  return {
    plan: (count: number) => {
      planned += count;
    },
    done: () => {
      done += 1;
      planned = Math.max(planned, done);
      reported = Math.max(reported, done / planned);
      progress(reported, `${done} of ${planned} questions to the model`);
    },
  };
}

type Job = {
  most: number;
  /** Whether a text is its own summary. */
  asIs(parts: readonly string[]): boolean;
  writer(known: ReadonlySet<string>): Write;
};

const NOTHING_LEFT: Unread = {
  code: "answer_invalid",
  message: "Every sentence that the model wrote has numbers that are not in the text.",
};

function unreadOf(parts: readonly string[]) {
  if (parts.length === 0) return {};
  return { unread: { parts: parts.length, characters: parts.reduce((sum, { length }) => sum + length, 0) } };
}

/** One part without a usable summary costs itself. */
async function tryWrite(
  write: Write,
  part: string,
  sentences: number,
): Promise<Summary | { thrown: unknown }> {
  try {
    return await write(part, sentences);
  } catch (thrown) {
    if (whyUnusable(thrown) === undefined) throw thrown;
    return { thrown };
  }
}

/** The summary of one text, from its first `limit` parts. `thrown`: why the model's own are of no use. */
async function summarise(
  source: Source,
  limit: number,
  job: Job,
): Promise<{ output: Summarised; thrown?: unknown }> {
  const { source: name, title, page, obstacle } = source;
  const about = { source: name, title, ...(page && { page }), ...(obstacle && { obstacle }) };
  const none = ({ code, message }: Unread) => ({ ...about, summary: null, failed: { code, message } });
  if ("failed" in source) return { output: none(source.failed) };
  if (job.asIs(source.parts)) return { output: { ...about, summary: source.parts[0]!.trim() } };
  if (limit === 0) return { output: none(OVER_BUDGET) };
  try {
    const { text, dropped, unread } = await summariseParts(source.parts, limit, job);
    const left = { ...(dropped.length > 0 && { dropped }), ...unread };
    return { output: { ...about, ...(text === "" ? none(NOTHING_LEFT) : { summary: text }), ...left } };
  } catch (thrown) {
    const code = whyUnusable(thrown);
    if (code === undefined) throw thrown;
    return { output: none({ code, message: thrown instanceof Error ? thrown.message : "" }), thrown };
  }
}

async function summariseParts(parts: readonly string[], limit: number, { most, writer }: Job) {
  const read = parts.slice(0, limit);
  const wanted = read.length === 1 ? most : Math.max(PART_SENTENCES, Math.ceil(most / read.length));
  const written = await Promise.all(read.map((part) => tryWrite(writer(numbersOf(part)), part, wanted)));
  const usable = written.filter((one) => "text" in one);
  const [failure] = written.filter((one) => "thrown" in one);
  if (usable.length === 0 && failure) throw failure.thrown;
  const texts = usable.map(({ text }) => text).filter((text) => text !== "");
  const { text, dropped } = await reduce(texts, most, writer(numbersOf(read.join("\n"))));
  return {
    text,
    dropped: [...usable.flatMap((one) => one.dropped), ...dropped],
    unread: unreadOf(parts.filter((_, at) => at >= read.length || "thrown" in written[at]!)),
  };
}

export default defineHandler({
  kind: "text.summarize",
  summary: "Summarises one text or many: a summary of each, and one of all.",
  input: z
    .strictObject({
      text: TextItself.min(1).max(MAX_CHARACTERS).optional().describe("The text."),
      texts: z
        .array(
          z.union([z.string(), z.object({ title: z.string().optional(), text: z.string() }), z.unknown()]),
        )
        .min(1)
        .max(500)
        .optional()
        .describe("Many texts: each a string, or {title, text}."),
      url: PageAddress.optional().describe("The address of a page, a PDF, a feed or a text."),
      urls: z.array(PageAddress).min(1).max(50).optional().describe("Several addresses."),
      s3: z
        .union([ObjectAddress, z.array(ObjectAddress).min(1).max(100)])
        .optional()
        .describe("One object in the bucket, or several: HTML, PDF, feeds, Markdown or plain text."),
      length: z
        .union([z.enum(["short", "medium", "long"]), z.int().min(1).max(MAX_SENTENCES)], {
          error: `expected short, medium, long, or a whole number from 1 to ${MAX_SENTENCES}`,
        })
        .default("medium")
        .describe("Of each summary: short (1 sentence), medium (3), long (8), or the most sentences."),
      language: wordsField("a language's name or tag", 40)
        .optional()
        .describe("The summaries' language; the text's by default."),
      focus: wordsField("a few words", 100)
        .optional()
        .describe("What the summaries should be about, in a few words."),
    })
    .refine(
      ({ text, texts, url, urls, s3 }) =>
        [text, texts, url, urls, s3].filter((one) => one !== undefined).length === 1,
      { message: "give one of text, texts, url, urls and s3", path: ["text"] },
    ),
  output: z.strictObject({
    summary: z.string().describe("Of all texts together."),
    summaries: z.array(Summarised).describe("One for each text, in the order of the input."),
    dropped: Dropped,
  }),
  inputs(input) {
    const others = addressesIn(input).filter(([, address]) => !isWeb(address));
    return Object.fromEntries(
      others.map(([field, from]) => [field, { from, as: "page" as const, mayFail: true as const }]),
    );
  },

  async run(input, context) {
    const { language, focus } = input;
    const most = typeof input.length === "number" ? input.length : LENGTHS[input.length];
    const instructions = [
      INSTRUCTIONS,
      language ? `Write in ${language}.` : "Write in the text's language.",
      ...(focus ? [`Write about this above all: ${focus}.`] : []),
    ].join("\n");
    const count = counter(context.progress);
    const writer =
      (known: ReadonlySet<string>): Write =>
      async (part, sentences) => {
        const summary = write(context, instructions, summaryContent(part, sentences), {
          known,
          most: sentences,
        });
        return summary.finally(count.done);
      };

    const sources = await Promise.all(readAll(input, context, context.inputs));
    // None of them can be read: the error is the job's.
    const [first] = sources;
    if (first && "failed" in first && sources.every((source) => "failed" in source)) throw first.thrown;

    const readable = partsWithin(context.budget, sources, instructions);
    const asIs = (parts: readonly string[]) =>
      !language && !focus && parts.length === 1 && isShort(parts[0]!, most);
    for (const [at, source] of sources.entries())
      if ("parts" in source && !asIs(source.parts)) count.plan(readable[at]! + (readable[at]! > 1 ? 1 : 0));
    if (sources.length > 1) count.plan(1);

    const summaries = await Promise.all(
      sources.map((source, at) => summarise(source, readable[at]!, { most, asIs, writer })),
    );
    const made = summaries.map(({ output }) => output).filter(({ summary }) => summary !== null);
    // When nothing is of use, the model or the engine is the reason, and the job has failed.
    const unusable = summaries.find(({ thrown }) => thrown !== undefined)?.thrown;
    if (made.length === 0 && unusable !== undefined) throw unusable;
    const each = { summaries: summaries.map(({ output }) => output) };
    if (sources.length === 1) return { summary: made[0]?.summary ?? "", ...each };
    const titled = made.map(({ title, summary }) => (title === null ? summary! : `${title}: ${summary}`));
    const known = numbersOf(titled.join("\n"));
    const [only] = made;
    const all =
      made.length === 1 ? { text: only!.summary!, dropped: [] } : await reduce(titled, most, writer(known));
    return { summary: all.text, ...each, ...(all.dropped.length > 0 && { dropped: all.dropped }) };
  },
});
