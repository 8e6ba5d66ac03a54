// What the model is trained on: a context and several questions about it, in the words of the handlers themselves.
// The first turn carries the list, the article or the picture; the later ones only the line that asks.
import { factsContent, questionContent } from "../../../handlers/article-extract.ts";
import { checkContent } from "../../../handlers/image-check.ts";
import { answerContent, claimsContent, keywordsContent } from "../../../handlers/knowledge-research.ts";
import { matchContent, titleContent } from "../../../handlers/todo-match.ts";
import { compareContent } from "../../../worker/job/meaning.ts";
import { article, ask, factCount, factsOf } from "./articles.ts";
import { askAnything } from "./lock-questions.ts";
import type { LockMeta } from "./locks.ts";
import { askForClaims, type Claim, type PagePart, pagePart, townOf } from "./page-parts.ts";
import { type Random, random } from "./random.ts";
import { type AnswerCase, answer, compare, keywords } from "./research.ts";
import { newRemarks, todoTalk } from "./todos.ts";

/** How many sessions and pictures training takes: the seeds from 0 on. Held-out seeds begin far above. */
export const TRAINING = { sessions: 160_000, pictures: 16_000 };

/**
 * `input` is the text between `<input>` and `</input>`, `answer` the model's answer. For training only: `clue` is the place in the
 * input that decides which line or sentence is meant, `meant` is its number, or 0 for none.
 */
export type Turn = { input: string; answer: string; clue?: number; meant?: number };
export type Session = {
  kind: "todo" | "title" | "article" | "lock" | "keywords" | "compare" | "answer";
  turns: Turn[];
};

const lastLine = (content: string) => content.slice(content.lastIndexOf("\n") + 1);

/** Real use is always one turn; more of them only make training cheaper. */
const turnCount = (r: Random, most: number) => (r.chance(0.15) ? 1 : r.int(2, most));

function todoSession(r: Random): Turn[] {
  const max = r.chance(0.25) ? 3 : 8;
  const { todos, remarks } = todoTalk(r, { min: 2, max, remarks: turnCount(r, 6) });
  return remarks.map(({ text, mentionEnd, expected }, index) => {
    const content = matchContent(text, todos);
    const input = index === 0 ? content : lastLine(content);
    const clue = input.length - text.length + mentionEnd;
    return { input, answer: expected, clue, meant: expected === "new" ? 0 : Number(expected) };
  });
}

function titleSession(r: Random): Turn[] {
  return newRemarks(r, turnCount(r, 5)).map(({ text, title }) => ({
    input: titleContent(text),
    answer: ` ${title}`,
  }));
}

/** JSON as the handler wants it. Every string begins with a space, so that its first word is the same token as in the text. */
export const answerJson = ({ evidence, answer }: { evidence: string | null; answer: string | null }) =>
  JSON.stringify({ evidence: evidence && ` ${evidence}`, answer: answer && ` ${answer}` });

export const factsJson = ({ facts }: { facts: readonly { evidence: string; fact: string }[] }) =>
  JSON.stringify({
    facts: facts.map(({ evidence, fact }) => ({ evidence: ` ${evidence}`, fact: ` ${fact}` })),
  });

export const keywordsJson = ({ keywords }: { keywords: readonly string[] }) =>
  JSON.stringify({ keywords: keywords.map((phrase) => ` ${phrase}`) });

export const claimsJson = ({ claims }: { claims: readonly Claim[] }) =>
  JSON.stringify({
    claims: claims.map(({ evidence, claim }) => ({ evidence: ` ${evidence}`, claim: ` ${claim}` })),
  });

export const sentencesJson = ({ sentences }: AnswerCase["expected"]) =>
  JSON.stringify({ sentences: sentences.map(({ text, claims }) => ({ text: ` ${text}`, claims })) });

/** Only text without marks shows the helper losses where its sentences begin. */
type ArticleTurn = { content: string; answer: string; meant?: number };

function articleTurns(r: Random, part: PagePart, isPlain: boolean): ArticleTurn[] {
  const { article: about, text } = part;
  const question = (): ArticleTurn => {
    const { question, expected } = ask(r, about, r.chance(0.72));
    return {
      content: questionContent(text, question),
      answer: answerJson(expected),
      ...(isPlain && { meant: about.sentences.indexOf(expected.evidence ?? "") + 1 }),
    };
  };
  const claims = (): ArticleTurn => {
    const { question, expected } = askForClaims(r, part);
    return { content: claimsContent(part.where, text, question), answer: claimsJson(expected) };
  };
  const facts = (): ArticleTurn => {
    const count = factCount(r);
    return { content: factsContent(text, count), answer: factsJson(factsOf(about, count)) };
  };
  const asked = Array.from({ length: turnCount(r, 5) }, () => (r.chance(0.5) ? claims() : question()));
  if (r.chance(0.7)) return asked;
  return r.chance(0.5) ? [facts(), ...asked.slice(1)] : [...asked.slice(1), facts()];
}

function articleSession(r: Random): Turn[] {
  const about = article(r);
  const isPlain = r.chance(0.5);
  const part = isPlain ? { article: about, where: "", text: about.text, town: townOf(about) } : pagePart(r);
  const all = articleTurns(r, part, isPlain);
  const first = (line: string) => all.findIndex(({ content }) => lastLine(content) === line);
  return all
    .filter(({ content }, index) => first(lastLine(content)) === index)
    .map(({ content, answer, meant }, index) => {
      const input = index === 0 ? content : lastLine(content);
      return { input, answer, ...(meant !== undefined && { clue: input.length, meant }) };
    });
}

function keywordsTurn(r: Random): Turn {
  const { question, count, expected } = keywords(r);
  return { input: keywordsContent(question, count), answer: keywordsJson(expected) };
}

function compareTurn(r: Random): Turn {
  const { one, other, question, expected } = compare(r);
  return { input: compareContent(one, other, question), answer: expected };
}

function answerTurn(r: Random): Turn {
  const { question, claims, expected } = answer(r);
  return { input: answerContent(question, claims), answer: sentencesJson(expected) };
}

const several = (r: Random, most: number, turn: (r: Random) => Turn): Turn[] =>
  Array.from({ length: turnCount(r, most) }, () => turn(r));

/** The questions about one picture; the picture goes into the first turn. */
export function lockSession(seed: number, meta: LockMeta): Session {
  const r = random(seed, "lock session");
  const turns = Array.from({ length: turnCount(r, 4) }, () => askAnything(r, meta)).map(
    ({ question, expected }) => ({ input: checkContent(question), answer: expected }),
  );
  return { kind: "lock", turns };
}

export function textSession(seed: number): Session {
  const r = random(seed, "session");
  const kind = r.next();
  if (kind < 0.12) return { kind: "todo", turns: todoSession(r) };
  if (kind < 0.16) return { kind: "title", turns: titleSession(r) };
  if (kind < 0.54) return { kind: "article", turns: articleSession(r) };
  if (kind < 0.7) return { kind: "keywords", turns: several(r, 5, keywordsTurn) };
  if (kind < 0.88) return { kind: "compare", turns: several(r, 8, compareTurn) };
  return { kind: "answer", turns: several(r, 4, answerTurn) };
}
