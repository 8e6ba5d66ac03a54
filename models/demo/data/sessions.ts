// What the model is trained on: a context and several questions about it, in the words of the handlers themselves.
// The first turn carries the list, the article or the picture; the later ones only the line that asks.
import { factsContent, questionContent } from "../../../handlers/article-extract.ts";
import { checkContent } from "../../../handlers/image-check.ts";
import { matchContent, titleContent } from "../../../handlers/todo-match.ts";
import { article, ask, factCount, factsOf } from "./articles.ts";
import { askAnything } from "./lock-questions.ts";
import type { LockMeta } from "./locks.ts";
import { type Random, random } from "./random.ts";
import { newRemarks, todoTalk } from "./todos.ts";

/** How many sessions and pictures training takes: the seeds from 0 on. Held-out seeds begin far above. */
export const TRAINING = { sessions: 160_000, pictures: 16_000 };

/**
 * `input` is the text between `<input>` and `</input>`, `answer` the model's answer. For training only: `clue` is the place in the
 * input that decides which line or sentence is meant, `meant` is its number, or 0 for none.
 */
export type Turn = { input: string; answer: string; clue?: number; meant?: number };
export type Session = { kind: "todo" | "title" | "article" | "lock"; turns: Turn[] };

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

function articleSession(r: Random): Turn[] {
  const about = article(r);
  const turn = (content: string, index: number) => (index === 0 ? content : lastLine(content));
  const questions = Array.from({ length: turnCount(r, 5) }, () => ask(r, about, r.chance(0.72)));
  const asked = questions
    .filter(({ question }, index) => questions.findIndex((other) => other.question === question) === index)
    .map(({ question, expected }) => ({
      content: questionContent(about.text, question),
      answer: answerJson(expected),
      meant: about.sentences.indexOf(expected.evidence ?? "") + 1,
    }));
  const count = factCount(r);
  const listed = {
    content: factsContent(about.text, count),
    answer: factsJson(factsOf(about, count)),
    meant: undefined,
  };
  const all = r.chance(0.7)
    ? asked
    : r.chance(0.5)
      ? [listed, ...asked.slice(1)]
      : [...asked.slice(1), listed];
  return all.map(({ content, answer, meant }, index) => {
    const input = turn(content, index);
    return { input, answer, ...(meant !== undefined && { clue: input.length, meant }) };
  });
}

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
  if (kind < 0.46) return { kind: "todo", turns: todoSession(r) };
  if (kind < 0.6) return { kind: "title", turns: titleSession(r) };
  return { kind: "article", turns: articleSession(r) };
}
