// article.extract: answers questions about an article and lists its facts, each with the sentence that proves it. A long article is asked
// about in parts, those that fit the questions best first, as far as the budget goes; then what the parts say is put together. Reading pages
// and documents is left to the worker's reader, and which answers mean the same to worker/job/meaning.ts.
import { z } from "zod";
import { LeftOut, usableEntries } from "../worker/job/entries.ts";
import { defineHandler, refuse, refuseBlocked, whyUnusable } from "../worker/job/handler.ts";
import { type Grouped, groupByMeaning } from "../worker/job/meaning.ts";
import {
  AboutPage,
  aboutPage,
  ObjectAddress,
  PageAddress,
  partsOf,
  refuseMime,
  TextItself,
  type TextPart,
  wordsField,
} from "../worker/job/parts.ts";
import { withoutMarks } from "../worker/job/template-marks.ts";
import { oneLine, sentenceFinder } from "../worker/job/text.ts";
import { tokensIn } from "../worker/job/tokens.ts";

const MAX_CHARACTERS = 400_000;
const ANSWER_TOKENS = 400;
const FACT_TOKENS = 150;
const MAX_FACTS = 50;
/** Of each list in the output, so that an article that repeats itself does not make the result too large. */
const MAX_EVIDENCE = 10;
const MAX_ALTERNATIVES = 20;
const MAX_SECTIONS = 50;

// The same instructions for questions and facts, so that all of them share the part of the article as their prefix.
const INSTRUCTIONS = `You read a part of an article. The text stands after "Article:"; what you must do stands in the last line.
If the last line starts with "Q:", answer that question from the text alone. First quote the sentence of the text that answers it as "evidence", word for word; then give the shortest answer as "answer". If the text does not say, both are null. Never use knowledge of your own.
If the last line starts with "Facts:", list as many of the most important facts as the number after it, in the order of the text, fewer if the text has fewer. Quote the sentence as "evidence", word for word; then give the fact as "fact" in a few words that say who, what, when, where, why, how, how many or how much, with numbers and names.`;

// A model that has lost its way would write on and on inside one string. The longest real sentence and answer are much shorter.
const Evidence = z.string().max(1_000);
const Short = z.string().max(400);
const Answer = z.strictObject({ evidence: Evidence.nullable(), answer: Short.nullable() });
const Facts = z.strictObject({ facts: z.array(z.strictObject({ evidence: Evidence, fact: Short })) });

const Question = z.string().trim().min(1).max(1_000);

/** What the model gets to answer a question about a part of an article. The part comes first: it is the shared prefix. */
export function questionContent(part: string, question: string, line = oneLine(part)): string {
  return `Article: ${line}\nQ: ${oneLine(question)}`;
}

/** What the model gets to list facts. */
export function factsContent(part: string, count: number, line = oneLine(part)): string {
  return `Article: ${line}\nFacts: ${count}`;
}

/** An answer or a fact of one part, with the sentence that proves it. */
type Found = { text: string; evidence: string; part: number };

/** The model's answer about one part, or why it was of no use. */
type Told<T> = { is: "usable"; value: T } | { is: "unusable"; reason: string; thrown: unknown };

/** One answer that is of no use costs itself, not the others. */
async function told<T>(asking: Promise<T>): Promise<Told<T>> {
  try {
    return { is: "usable", value: await asking };
  } catch (thrown) {
    const reason = whyUnusable(thrown);
    if (reason === undefined) throw thrown;
    return { is: "unusable", reason, thrown };
  }
}

const usable = <T>(all: readonly Told<T>[]) => all.flatMap((one) => (one.is === "usable" ? [one.value] : []));
const reasonIn = (all: readonly Told<unknown>[]) => all.find((one) => one.is === "unusable")?.reason;

type Find = ReturnType<typeof sentenceFinder>;

type Part = { at: number; line: string; find: Find; characters: number; path: string[] };

/** On one line and cut into sentences once for all questions; the sentences when the first answer is there. */
function partOf({ text, path }: TextPart, at: number): Part {
  let finder: Find | undefined;
  const find: Find = (quote) => {
    finder ??= sentenceFinder(text);
    return finder(quote);
  };
  return { at, line: oneLine(text), find, characters: text.length, path };
}

/** An answer counts only with a sentence of the text as its evidence: the quoted one, or else the one that contains the answer. */
function groundAnswer({ find, at }: Part, { answer, evidence }: z.output<typeof Answer>): Found | null {
  const text = oneLine(withoutMarks(answer ?? ""));
  if (text === "") return null;
  const sentence = find(evidence ?? "") ?? find(text);
  return sentence === null ? null : { text, evidence: sentence, part: at };
}

/**
 * The first `max` facts whose quoted sentence is in the text. A fact is in the model's own words, so only the quote can be checked.
 */
function groundFacts({ find, at }: Part, { facts }: z.output<typeof Facts>, max: number): Found[] {
  const grounded = facts.flatMap(({ fact, evidence }) => {
    const sentence = find(evidence);
    const text = oneLine(withoutMarks(fact));
    return sentence === null || text === "" ? [] : [{ text, evidence: sentence, part: at }];
  });
  return grounded.slice(0, max);
}

// ── Which parts are read ──

/** What an answer and a fact usually have; the limits above are for models that have lost their way. */
const USUAL_ANSWER = 100;
const USUAL_FACT = 60;
/** Of the budget. The rest is for comparing answers and for second tries. */
const FOR_READING = 0.85;
const DEFAULT_TOKENS = 500_000;

type Budget = { requests: number; tokens: number };

/** What the questions about each part take. */
const costOf = ({ line }: Part, instructions: string, questions: readonly string[], maxFacts: number) => {
  const shared = tokensIn(instructions) + tokensIn(line);
  const answers = questions.reduce((sum, question) => sum + shared + tokensIn(question) + USUAL_ANSWER, 0);
  return answers + (maxFacts > 0 ? shared + USUAL_FACT * (maxFacts + 1) : 0);
};

/** The parts that come first in `order` and fit the budget; one part at least. */
function within(
  budget: Budget,
  order: readonly Part[],
  asks: number,
  cost: (part: Part) => number,
): Set<Part> {
  const chosen = new Set<Part>();
  let [requests, tokens] = [budget.requests * FOR_READING, budget.tokens * FOR_READING];
  for (const part of order) {
    requests -= asks;
    tokens -= cost(part);
    if (chosen.size > 0 && (requests < 0 || tokens < 0)) break;
    chosen.add(part);
  }
  return chosen;
}

/** Questions want the parts that fit them best, facts those that come first: with both, in turn. */
function inOrder(parts: readonly Part[], scores: readonly number[], { facts }: { facts: boolean }): Part[] {
  const best = parts.toSorted((a, b) => scores[b.at]! - scores[a.at]! || a.at - b.at);
  if (!facts) return best;
  return [...new Set(parts.flatMap((part, at) => [best[at]!, part]))];
}

/** What was not read, for the output. */
function unreadOf(parts: readonly Part[]) {
  if (parts.length === 0) return {};
  const sections = new Set(parts.filter(({ path }) => path.length > 0).map(({ path }) => path.join(" > ")));
  const characters = parts.reduce((sum, part) => sum + part.characters, 0);
  return { unread: { chunks: parts.length, characters, sections: [...sections].slice(0, MAX_SECTIONS) } };
}

// ── What the parts say, together ──

/** The most pairs of answers and facts that the model compares in one job, and what each takes. */
const MAX_COMPARISONS = 60;
const COMPARISON_TOKENS = 300;
const COMPARISON_REQUESTS = 2;

const comparisonsWithin = ({ requests, tokens }: Budget) =>
  Math.floor(
    Math.min(
      MAX_COMPARISONS,
      ((1 - FOR_READING) * tokens) / COMPARISON_TOKENS,
      ((1 - FOR_READING) * requests) / COMPARISON_REQUESTS,
    ),
  );

type Compare = (said: readonly Found[], question?: string) => Promise<Grouped<Found>>;

/** The evidence of a group besides that of its first member. */
function moreEvidence(group: readonly Found[]) {
  const others = new Set(group.map(({ evidence }) => evidence));
  others.delete(group[0]!.evidence);
  return others.size > 0 ? { moreEvidence: [...others].slice(0, MAX_EVIDENCE) } : {};
}

/** The answer of most parts, in a tie the earliest; the other answers beside it. */
async function merge(question: string, found: readonly Told<Found | null>[], compare: Compare) {
  const said = usable(found).filter((one) => one !== null);
  if (said.length === 0) {
    const reason = reasonIn(found);
    return { question, answer: null, evidence: null, ...(reason !== undefined && { reason }) };
  }
  const { groups, contradictions } = await compare(said, question);
  const most = groups.reduce((top, one) => (one.length > top.length ? one : top));
  const at = groups.indexOf(most);
  const opposes = (other: number) => contradictions.some((pair) => pair.includes(at) && pair.includes(other));
  const alternatives = groups.flatMap((group, other) => {
    if (other === at) return [];
    const { text, evidence } = group[0]!;
    const contradicts = opposes(other) && { contradicts: true as const };
    return [{ answer: text, evidence, ...moreEvidence(group), ...contradicts }];
  });
  return {
    question,
    answer: most[0]!.text,
    evidence: most[0]!.evidence,
    ...moreEvidence(most),
    ...(alternatives.length > 0 && { alternatives: alternatives.slice(0, MAX_ALTERNATIVES) }),
  };
}

/** The first fact of every part, then the second of every part, and so on. */
function interleave(parts: readonly (readonly Found[])[], max: number): Found[] {
  return Array.from({ length: max }, (_, turn) => parts.flatMap((part) => part[turn] ?? [])).flat();
}

/** Each fact once, with all its evidence; those that contradict each other name each other's places. */
async function mergeFacts(parts: readonly (readonly Found[])[], max: number, compare: Compare) {
  const { groups, contradictions } = await compare(interleave(parts, max));
  return groups.slice(0, max).map((group, at) => {
    const { text, evidence } = group[0]!;
    const others = contradictions
      .filter((pair) => pair.includes(at))
      .map(([one, other]) => (one === at ? other : one))
      .filter((other) => other < max);
    return {
      fact: text,
      evidence,
      ...moreEvidence(group),
      ...(others.length > 0 && { contradicts: others }),
    };
  });
}

const MoreEvidence = z
  .array(z.string())
  .optional()
  .describe("Sentences of other parts of the article that say the same.");

export default defineHandler({
  kind: "article.extract",
  summary: "Answers questions about an article and lists its facts, each with the sentence that proves it.",
  input: z
    .strictObject({
      text: TextItself.min(1).max(MAX_CHARACTERS).optional().describe("The article as plain text."),
      html: TextItself.min(1)
        .max(5_000_000)
        .optional()
        .describe("The article as a page; its body is found by itself."),
      s3: ObjectAddress.optional().describe(
        "The article as an object in the bucket: HTML, a PDF, a feed, Markdown or plain text.",
      ),
      url: PageAddress.optional().describe(
        "The article's address, https://…, s3://… or a data: URI: a page, a PDF, a feed or plain text.",
      ),
      questions: z
        .array(z.union([Question, z.unknown()]))
        .max(50)
        .default([])
        .describe("What you want to know. An entry that is no question is left out."),
      maxFacts: z.int().min(0).max(MAX_FACTS).default(3).describe("The most facts to list; 0 for none."),
      language: wordsField("a language's name or tag", 40)
        .optional()
        .describe("The answers' language; the article's by default."),
      maxTokens: z
        .int()
        .min(1)
        .max(100_000_000)
        .optional()
        .describe(
          "About how many tokens to spend on prompts and answers [500,000]. Of an article that takes more, the parts that fit the questions best are read; `unread` says what was not.",
        ),
    })
    .refine(
      (input) =>
        [input.text, input.html, input.s3, input.url].filter((one) => one !== undefined).length === 1,
      {
        message: "give one of text, html, s3 and url",
        path: ["text"],
      },
    ),
  output: z.strictObject({
    leftOut: LeftOut,
    page: AboutPage.optional().describe("What is known of the page."),
    obstacle: z.literal("paywall").optional().describe("Only the part before a paywall could be read."),
    answers: z.array(
      z.strictObject({
        question: z.string(),
        answer: z.string().nullable(),
        evidence: z.string().nullable(),
        moreEvidence: MoreEvidence,
        alternatives: z
          .array(
            z.strictObject({
              answer: z.string(),
              evidence: z.string(),
              moreEvidence: MoreEvidence,
              contradicts: z.literal(true).optional().describe("It and the answer cannot both be true."),
            }),
          )
          .optional()
          .describe("What fewer or later parts of the article say."),
        reason: z
          .string()
          .optional()
          .describe(
            "Why there is no answer, where the model's own was of no use: answer_invalid or answer_repetitive.",
          ),
      }),
    ),
    facts: z.array(
      z.strictObject({
        fact: z.string(),
        evidence: z.string(),
        moreEvidence: MoreEvidence,
        contradicts: z
          .array(z.int())
          .optional()
          .describe("The places in this list, from 0 on, of facts that cannot be true beside it."),
      }),
    ),
    factsReason: z
      .string()
      .optional()
      .describe("Why facts of some parts are missing: the model's list was of no use."),
    unread: z
      .strictObject({
        chunks: z.int(),
        characters: z.int(),
        sections: z.array(z.string()).describe("The headings above them, at most fifty."),
      })
      .optional()
      .describe("The parts for which the budget of tokens or requests did not suffice."),
  }),
  inputs: ({ s3, url }) => {
    const from = s3 ?? url;
    return { article: from === undefined ? undefined : { from, as: "page" as const } };
  },

  async run(input, context) {
    const { text, html, maxFacts, language, maxTokens = DEFAULT_TOKENS } = input;
    const { model, inputs, pages, texts, budget, progress } = context;
    const { entries: questions, left } = usableEntries("questions", Question, input.questions);
    if (html !== undefined) refuseMime(html);
    const page = html === undefined ? inputs.article : await pages.article(html);
    if (page) {
      refuseMime(page.text);
      refuseBlocked(page);
    }
    const parts = (await partsOf(page ?? text ?? "", context)).map(partOf);
    if (parts.length === 0) refuse("invalid_input", "The article is empty.");
    const instructions = `${INSTRUCTIONS}\n${
      language ? `Write "answer" and "fact" in ${language}.` : "Write in the article's language."
    }`;

    const asks = questions.length + (maxFacts > 0 ? 1 : 0);
    const cost = (part: Part) => costOf(part, instructions, questions, maxFacts);
    const total = { requests: budget.requests, tokens: Math.min(maxTokens, budget.tokens) };
    let chosen = within(total, parts, asks, cost);
    if (chosen.size < parts.length && questions.length > 0) {
      const scores = await texts.rank(
        parts.map(({ line }) => line),
        questions,
      );
      chosen = within(total, inOrder(parts, scores, { facts: maxFacts > 0 }), asks, cost);
    }

    const toAsk = chosen.size * asks;
    let done = 0;
    const counted = async <T>(asking: Promise<T>): Promise<T> => {
      try {
        return await asking;
      } finally {
        done += 1;
        progress(done / toAsk, `${done} of ${toAsk} questions to the model`);
      }
    };
    const answer = async (part: Part, question: string): Promise<Found | null> => {
      const content = questionContent(part.line, question, part.line);
      return groundAnswer(
        part,
        await counted(model.ask({ instructions, content, schema: Answer, maxTokens: ANSWER_TOKENS })),
      );
    };
    const list = async (part: Part): Promise<Found[]> => {
      const content = factsContent(part.line, maxFacts, part.line);
      const maxTokens = FACT_TOKENS * (maxFacts + 1);
      const listed = await counted(model.ask({ instructions, content, schema: Facts, maxTokens }));
      return groundFacts(part, listed, maxFacts);
    };

    const byPart = await Promise.all(
      parts
        .filter((part) => chosen.has(part))
        .map(async (part) => {
          const [facts, ...answers] = await Promise.all([
            maxFacts > 0 ? told(list(part)) : undefined,
            ...questions.map((question) => told(answer(part, question))),
          ]);
          return { facts: facts ? [facts] : [], answers };
        }),
    );
    const all = byPart.flatMap(({ facts, answers }) => [...facts, ...answers]);
    const [first] = all;
    // When nothing is of use, the model or the engine is the reason, and the job has failed.
    if (first?.is === "unusable" && usable<unknown>(all).length === 0) throw first.thrown;

    const maxQuestions = Math.ceil(comparisonsWithin(total) / asks);
    // What the model listed of one part, it took for different facts.
    const mayBeSame = (one: Found, other: Found) => one.part !== other.part;
    const compare: Compare = (said, question) =>
      groupByMeaning(said, { model, maxQuestions, mayBeSame, ...(question !== undefined && { question }) });
    const facts = byPart.flatMap((part) => part.facts);
    const factsReason = reasonIn(facts);
    const [answers, merged] = await Promise.all([
      Promise.all(
        questions.map((question, index) =>
          merge(
            question,
            byPart.flatMap((part) => part.answers[index] ?? []),
            compare,
          ),
        ),
      ),
      mergeFacts(usable(facts), maxFacts, compare),
    ]);
    return {
      ...left,
      ...(page && { page: aboutPage(page) }),
      ...(page?.obstacle === "paywall" && { obstacle: page.obstacle }),
      answers,
      facts: merged,
      ...(factsReason !== undefined && { factsReason }),
      ...unreadOf(parts.filter((part) => !chosen.has(part))),
    };
  },
});
