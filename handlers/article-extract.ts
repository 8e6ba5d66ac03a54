// article.extract: answers questions about an article and lists its facts, each with the sentence that proves it.
import { z } from "zod";
import { LeftOut, usableEntries } from "../worker/job/entries.ts";
import { defineHandler, refuse, whyUnusable } from "../worker/job/handler.ts";
import { withoutMarks } from "../worker/job/template-marks.ts";
import { sentenceFinder } from "../worker/job/text.ts";

const CHUNK_CHARACTERS = 2_000;
const MAX_CHARACTERS = 400_000;
const ANSWER_TOKENS = 400;
const FACT_TOKENS = 150;
const MAX_FACTS = 50;

// An object in the bucket may be plain text or HTML. A page begins with a tag that pages begin with, or ends as they do: its first tags
// may be left out. A feed is read as the page of its entries.
const PAGE_START =
  /^\s*<(?:!doctype|!--|\?xml|(?:rss|feed|rdf:RDF|html|head|title|meta|link|base|style|script|noscript|body|frameset|article|main|header|nav|section|aside|div|p|h[1-6]|[uod]l|table|center|font|blockquote|pre|span|a|b|i|em|strong|ruby|br|hr|img)(?=[\s/>]))/i;
const PAGE_END = /<\/(?:html|body)\s*>\s*$/i;
const isPage = (text: string) => PAGE_START.test(text) || PAGE_END.test(text.slice(-1_000));

// A mail or a saved archive, as SES stores mails and browsers save pages: in its parts the text is encoded once more.
const MIME_START =
  /^\s*(?:[\w-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:mime-version|content-transfer-encoding|content-type: *multipart)/i;

// The language becomes part of our instructions, so it must not contain a line end or a chat template's mark.
const LANGUAGE = /^[\p{L}\p{M}\p{N} '’.,()/_-]+$/u;

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

const oneLine = (text: string) => text.replaceAll(/\s+/g, " ").trim();

/** What the model gets to answer a question about a part of an article. The part comes first: it is the shared prefix. */
export function questionContent(part: string, question: string, line = oneLine(part)): string {
  return `Article: ${line}\nQ: ${oneLine(question)}`;
}

/** What the model gets to list facts. */
export function factsContent(part: string, count: number, line = oneLine(part)): string {
  return `Article: ${line}\nFacts: ${count}`;
}

type Extracted = { question: string; answer: string | null; evidence: string | null; reason?: string };
type Fact = { fact: string; evidence: string };

type Grounded = { answer: string; evidence: string };

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

/** A part, on one line and cut into sentences once for all questions; the sentences when the first answer is there. */
function partOf(text: string) {
  const line = oneLine(text);
  let finder: Find | undefined;
  const find: Find = (quote) => {
    finder ??= sentenceFinder(text);
    return finder(quote);
  };
  return { text, line, find };
}
type Part = ReturnType<typeof partOf>;

/** An answer counts only with a sentence of the text as its evidence: the quoted one, or else the one that contains the answer. */
function groundAnswer(find: Find, { answer, evidence }: z.output<typeof Answer>): Grounded | null {
  const text = oneLine(withoutMarks(answer ?? ""));
  if (text === "") return null;
  const sentence = find(evidence ?? "") ?? find(text);
  return sentence === null ? null : { answer: text, evidence: sentence };
}

/**
 * The first `max` facts whose quoted sentence is in the text. A fact is in the model's own words, so only the quote can be checked.
 */
function groundFacts(find: Find, { facts }: z.output<typeof Facts>, max: number): Fact[] {
  const grounded = facts.flatMap(({ fact, evidence }) => {
    const sentence = find(evidence);
    const text = oneLine(withoutMarks(fact));
    return sentence === null || text === "" ? [] : [{ fact: text, evidence: sentence }];
  });
  return grounded.slice(0, max);
}

/** Answers and facts in other capitals are the same. */
const sameKey = (text: string) => text.toLowerCase();

/** The answer of most parts; in a tie, the earliest. */
function merge(question: string, found: readonly Told<Grounded | null>[]): Extracted {
  const answers = Map.groupBy(
    usable(found).filter((one) => one !== null),
    ({ answer }) => sameKey(answer),
  );
  let best: Grounded[] = [];
  for (const same of answers.values()) if (same.length > best.length) best = same;
  const [first] = best;
  if (first) return { question, answer: first.answer, evidence: first.evidence };
  const reason = reasonIn(found);
  return { question, answer: null, evidence: null, ...(reason !== undefined && { reason }) };
}

/** The first fact of every part, then the second of every part, and so on; each fact only once. */
function interleave(parts: readonly (readonly Fact[])[], max: number): Fact[] {
  const facts = new Map<string, Fact>();
  for (let turn = 0; turn < max; turn += 1)
    for (const part of parts) {
      const one = part[turn];
      if (one && !facts.has(sameKey(one.fact))) facts.set(sameKey(one.fact), one);
    }
  return [...facts.values()].slice(0, max);
}

export default defineHandler({
  kind: "article.extract",
  summary: "Answers questions about an article and lists its facts, each with the sentence that proves it.",
  input: z
    .strictObject({
      text: z.string().min(1).max(MAX_CHARACTERS).optional().describe("The article as plain text."),
      html: z
        .string()
        .min(1)
        .max(5_000_000)
        .optional()
        .describe(
          "The article as a page; its body is found by itself, and its first 400,000 characters are read.",
        ),
      s3: z
        .string()
        .startsWith("s3://")
        .optional()
        .describe(
          "The article as an object in the bucket: plain text or HTML; its first 400,000 characters are read.",
        ),
      questions: z
        .array(z.union([Question, z.unknown()]))
        .max(50)
        .default([])
        .describe("What you want to know. An entry that is no question is left out."),
      maxFacts: z.int().min(0).max(MAX_FACTS).default(3).describe("The most facts to list; 0 for none."),
      language: z
        .string()
        .max(40)
        .regex(LANGUAGE, "expected a language's name or tag")
        .optional()
        .describe("The answers' language; the article's by default."),
    })
    .refine(({ text, html, s3 }) => [text, html, s3].filter((one) => one !== undefined).length === 1, {
      message: "give one of text, html and s3",
      path: ["text"],
    }),
  output: z.strictObject({
    leftOut: LeftOut,
    answers: z.array(
      z.strictObject({
        question: z.string(),
        answer: z.string().nullable(),
        evidence: z.string().nullable(),
        reason: z
          .string()
          .optional()
          .describe(
            "Why there is no answer, where the model's own was of no use: answer_invalid or answer_repetitive.",
          ),
      }),
    ),
    facts: z.array(z.strictObject({ fact: z.string(), evidence: z.string() })),
    factsReason: z
      .string()
      .optional()
      .describe("Why facts of some parts are missing: the model's list was of no use."),
  }),
  inputs: ({ s3 }) => ({ article: s3 === undefined ? undefined : { from: s3, as: "text" as const } }),

  async run({ text, html, questions: given, maxFacts, language }, { model, pages, texts, inputs, progress }) {
    const { entries: questions, left } = usableEntries("questions", Question, given);
    const source = text ?? html ?? inputs.article ?? "";
    if (text === undefined && MIME_START.test(source.slice(0, 16_000)))
      refuse(
        "invalid_input",
        "This is a mail or a saved archive (MIME), whose text is encoded in parts; send the HTML or the text of the part that you mean.",
      );
    const asPage = html !== undefined || (text === undefined && isPage(source));
    const article = asPage ? (await pages.article(source)).text : source;
    if (article.trim() === "") refuse("invalid_input", "The article is empty.");
    if (article.length > MAX_CHARACTERS) {
      refuse(
        "input_too_large",
        `The article has ${article.length} characters; the limit is ${MAX_CHARACTERS}.`,
      );
    }
    const parts = await texts.chunks(article, CHUNK_CHARACTERS);
    const instructions = `${INSTRUCTIONS}\n${
      language ? `Write "answer" and "fact" in ${language}.` : "Write in the article's language."
    }`;

    const total = parts.length * (questions.length + (maxFacts > 0 ? 1 : 0));
    let done = 0;
    const counted = async <T>(asking: Promise<T>): Promise<T> => {
      try {
        return await asking;
      } finally {
        done += 1;
        progress(done / total, `${done} of ${total} questions to the model`);
      }
    };
    const answer = async ({ text, line, find }: Part, question: string): Promise<Grounded | null> => {
      const content = questionContent(text, question, line);
      return groundAnswer(
        find,
        await counted(model.ask({ instructions, content, schema: Answer, maxTokens: ANSWER_TOKENS })),
      );
    };
    const list = async ({ text, line, find }: Part): Promise<Fact[]> => {
      const content = factsContent(text, maxFacts, line);
      const maxTokens = FACT_TOKENS * (maxFacts + 1);
      const listed = await counted(model.ask({ instructions, content, schema: Facts, maxTokens }));
      return groundFacts(find, listed, maxFacts);
    };

    const byPart = await Promise.all(
      parts.map(partOf).map(async (part) => {
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
    const facts = byPart.flatMap((part) => part.facts);
    const factsReason = reasonIn(facts);
    return {
      ...left,
      answers: questions.map((question, index) =>
        merge(
          question,
          byPart.flatMap(({ answers }) => answers[index] ?? []),
        ),
      ),
      facts: interleave(usable(facts), maxFacts),
      ...(factsReason !== undefined && { factsReason }),
    };
  },
});
