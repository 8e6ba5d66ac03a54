// article.extract: answers questions about an article and lists its facts, each with the sentence that proves it.
import { z } from "zod";
import { defineHandler, refuse } from "../worker/job/handler.ts";
import { withoutMarks } from "../worker/job/template-marks.ts";
import { sentenceFinder } from "../worker/job/text.ts";

const CHUNK_CHARACTERS = 2_000;
const MAX_CHARACTERS = 400_000;
const ANSWER_TOKENS = 400;
const FACT_TOKENS = 150;

// An object in the bucket may be plain text or HTML; its first characters tell which.
const PAGE = /^\s*<(?:!doctype|!--|\?xml|(?:html|head|body|article|main|section|div|p)\b)/i;

// The language becomes part of our instructions, so it must not contain a line end or a chat template's mark.
const LANGUAGE = /^[\p{L}\p{M}\p{N} '’.,()/_-]+$/u;

// The same instructions for questions and facts, so that all of them share the part of the article as their prefix.
const INSTRUCTIONS = `You read a part of an article. The text stands after "Article:"; what you must do stands in the last line.
If the last line starts with "Q:", answer that question from the text alone. First quote the sentence of the text that answers it as "evidence", word for word; then give the shortest answer as "answer". If the text does not say, both are null. Never use knowledge of your own.
If the last line starts with "Facts:", list as many of the most important facts as the number after it, in the order of the text, fewer if the text has fewer. Quote the sentence as "evidence", word for word; then give the fact as "fact" in a few words that say who, what, when, where, why, how, how many or how much, with numbers and names.`;

const Answer = z.strictObject({ evidence: z.string().nullable(), answer: z.string().nullable() });
const Facts = z.strictObject({ facts: z.array(z.strictObject({ evidence: z.string(), fact: z.string() })) });

const oneLine = (text: string) => text.replaceAll(/\s+/g, " ").trim();

/** What the model gets to answer a question about a part of an article. The part comes first: it is the shared prefix. */
export function questionContent(part: string, question: string, line = oneLine(part)): string {
  return `Article: ${line}\nQ: ${oneLine(question)}`;
}

/** What the model gets to list facts. */
export function factsContent(part: string, count: number, line = oneLine(part)): string {
  return `Article: ${line}\nFacts: ${count}`;
}

type Extracted = { question: string; answer: string | null; evidence: string | null };
type Fact = { fact: string; evidence: string };

type Grounded = { answer: string; evidence: string };

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
function merge(question: string, found: readonly (Grounded | null)[]): Extracted {
  const answers = Map.groupBy(
    found.filter((one) => one !== null),
    ({ answer }) => sameKey(answer),
  );
  let best: Grounded[] = [];
  for (const same of answers.values()) if (same.length > best.length) best = same;
  return { question, answer: best[0]?.answer ?? null, evidence: best[0]?.evidence ?? null };
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
        .array(z.string().trim().min(1).max(1_000))
        .max(50)
        .default([])
        .describe("What you want to know."),
      maxFacts: z.int().min(0).max(50).default(3).describe("The most facts to list; 0 for none."),
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
    answers: z.array(
      z.strictObject({
        question: z.string(),
        answer: z.string().nullable(),
        evidence: z.string().nullable(),
      }),
    ),
    facts: z.array(z.strictObject({ fact: z.string(), evidence: z.string() })),
  }),
  inputs: ({ s3 }) => ({ article: s3 === undefined ? undefined : { from: s3, as: "text" as const } }),

  async run({ text, html, questions, maxFacts, language }, { model, pages, texts, inputs, progress }) {
    const source = text ?? html ?? inputs.article ?? "";
    const isPage = html !== undefined || (text === undefined && PAGE.test(source));
    const article = isPage ? (await pages.article(source)).text : source;
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
      const value = await asking;
      done += 1;
      progress(done / total, `${done} of ${total} questions to the model`);
      return value;
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
          maxFacts > 0 ? list(part) : [],
          ...questions.map((question) => answer(part, question)),
        ]);
        return { facts, answers };
      }),
    );
    return {
      answers: questions.map((question, index) =>
        merge(
          question,
          byPart.map(({ answers }) => answers[index] ?? null),
        ),
      ),
      facts: interleave(
        byPart.map(({ facts }) => facts),
        maxFacts,
      ),
    };
  },
});
