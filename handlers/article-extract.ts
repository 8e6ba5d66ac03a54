// article.extract: answers to questions and quantified facts out of an article, each with the sentence that says so.
import { z } from "zod";
import { defineHandler } from "../worker/job/handler.ts";
import { chunkText, findSentence } from "../worker/job/text.ts";

const CHUNK_CHARACTERS = 2_000;
const MAX_CHARACTERS = 400_000;

// One instruction for questions and facts, so that both share the chunk as their prefix.
const INSTRUCTIONS = `You read a part of an article. The text stands after "Article:"; what you must do stands in the last line.
If the last line starts with "Q:", answer that question from the text alone. First quote the sentence of the text that answers it as "evidence", word for word; then give the shortest answer as "answer". If the text does not say, both are null. Never use knowledge of your own.
If the last line starts with "Facts:", list as many of the most important facts as the number after it, in the order of the text, fewer if the text has fewer. Quote the sentence as "evidence", word for word; then give the fact as "fact" in a few words that say who, what, when, where, why, how, how many or how much, with numbers and names.`;

const Answer = z.strictObject({ evidence: z.string().nullable(), answer: z.string().nullable() });
const Facts = z.strictObject({ facts: z.array(z.strictObject({ evidence: z.string(), fact: z.string() })) });

const oneLine = (text: string) => text.replaceAll(/\s+/g, " ").trim();

/** What the model is shown to answer a question about a part of an article. The part comes first: it is the shared prefix. */
export function questionContent(part: string, question: string): string {
  return `Article: ${oneLine(part)}\nQ: ${oneLine(question)}`;
}

/** What the model is shown to list facts. */
export function factsContent(part: string, count: number): string {
  return `Article: ${oneLine(part)}\nFacts: ${count}`;
}

type Extracted = { question: string; answer: string | null; evidence: string | null };
type Fact = { fact: string; evidence: string };

/** An answer counts only with a sentence of the text under it: the one quoted, else the one the answer stands in. */
function ground(
  part: string,
  answer: string | null,
  evidence: string | null,
): { answer: string; evidence: string } | null {
  const said = oneLine(answer ?? "");
  if (said === "") return null;
  const sentence = findSentence(part, evidence ?? "") ?? findSentence(part, said);
  return sentence === null ? null : { answer: said, evidence: sentence };
}

/** The answer most parts agree on; of equals the earliest. */
function merge(question: string, found: readonly ({ answer: string; evidence: string } | null)[]): Extracted {
  const answers = found.filter((one) => one !== null);
  const votes = (one: { answer: string }) =>
    answers.filter((other) => other.answer.toLowerCase() === one.answer.toLowerCase()).length;
  const best = answers.reduce<(typeof answers)[number] | undefined>(
    (top, one) => (top && votes(top) >= votes(one) ? top : one),
    undefined,
  );
  return { question, answer: best?.answer ?? null, evidence: best?.evidence ?? null };
}

/** The first fact of every part, then the second of every part, …; each fact once. */
function interleave(parts: readonly (readonly Fact[])[], max: number): Fact[] {
  const longest = Math.max(0, ...parts.map((facts) => facts.length));
  const inTurn = Array.from({ length: longest }, (_, turn) =>
    parts.flatMap((facts) => facts[turn] ?? []),
  ).flat();
  return inTurn
    .filter(({ fact }, index) => inTurn.findIndex((other) => other.fact === fact) === index)
    .slice(0, max);
}

export default defineHandler({
  kind: "article.extract",
  summary: "Answers questions about an article and lists its facts, each with the sentence that says so.",
  input: z
    .strictObject({
      text: z.string().min(1).max(MAX_CHARACTERS).optional().describe("The article as plain text."),
      html: z
        .string()
        .min(1)
        .max(5_000_000)
        .optional()
        .describe("The article as a page; its body is found by itself."),
      s3: z
        .string()
        .startsWith("s3://")
        .optional()
        .describe("The article as an object in the bucket: plain text or HTML."),
      questions: z
        .array(z.string().trim().min(1).max(1_000))
        .max(50)
        .default([])
        .describe("What you want to know."),
      maxFacts: z.int().min(0).max(50).default(3).describe("The most facts to list; 0 for none."),
      language: z.string().max(40).optional().describe("The answers' language; the article's by default."),
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

  async run({ text, html, questions, maxFacts, language }, { model, pages, inputs, progress }) {
    const source = text ?? html ?? inputs.article ?? "";
    const isPage = html !== undefined || /^\s*<(!doctype|html|body|article|main|div|p)\b/i.test(source);
    const article = isPage ? (await pages.article(source)).text : source;
    const parts = chunkText(article, CHUNK_CHARACTERS);
    const instructions = language
      ? `${INSTRUCTIONS}\nWrite "answer" and "fact" in ${language}.`
      : `${INSTRUCTIONS}\nWrite in the article's language.`;

    let done = 0;
    const step = async <T>(work: Promise<T>): Promise<T> => {
      const value = await work;
      progress(++done / (parts.length * (questions.length + (maxFacts > 0 ? 1 : 0))), `part ${parts.length}`);
      return value;
    };
    const answer = async (part: string, question: string) => {
      const said = await step(
        model.ask({ instructions, content: questionContent(part, question), schema: Answer, maxTokens: 400 }),
      );
      return ground(part, said.answer, said.evidence);
    };
    const list = async (part: string): Promise<Fact[]> => {
      const { facts } = await step(
        model.ask({
          instructions,
          content: factsContent(part, maxFacts),
          schema: Facts,
          maxTokens: 150 * maxFacts + 50,
        }),
      );
      return facts.flatMap(({ fact, evidence }) => {
        const grounded = ground(part, fact, evidence);
        return grounded ? [{ fact: grounded.answer, evidence: grounded.evidence }] : [];
      });
    };

    const byPart = await Promise.all(
      parts.map(async (part) => ({
        answers: await Promise.all(questions.map((question) => answer(part, question))),
        facts: maxFacts > 0 ? await list(part) : [],
      })),
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
