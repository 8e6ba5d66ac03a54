// What a result says about itself outside its body, so that subscribers can filter without reading it. Pure.
import type { Result } from "../job/result.ts";

const LONGEST_ANSWER = 64;

/** `kind` and `status`; with an output that has a short `answer` (yes/no questions do) that as well. */
export function attributesOf({ kind, status, output }: Result): Record<string, string> {
  const answer = (output as { answer?: unknown } | null | undefined)?.answer;
  return { kind, status, ...(isWord(answer) && { answer }) };
}

// One word: the longer answers of other kinds are content, which nobody can filter for.
const isWord = (value: unknown): value is string =>
  typeof value === "string" && value.length <= LONGEST_ANSWER && /^[\p{L}\p{N}_.-]+$/u.test(value);
