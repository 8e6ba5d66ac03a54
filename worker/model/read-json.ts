// Finds the JSON in a model's answer, whatever thoughts, code fences or words surround it. Pure. It takes time in proportion to
// the answer's length, because the sender of an input can influence what the model writes.

import { parseJson } from "../job/json.ts";

const MAX_STARTS = 20;

export type ReadJson = { is: "json"; value: unknown } | { is: "none"; reason: string };

/** The answer without the thoughts that some models put before it. */
export function withoutThoughts(answer: string): string {
  // The chat template may have opened the block, so only its end is here; an answer that was cut off may have no end.
  const end = answer.lastIndexOf("</think>");
  const after = end < 0 ? answer : answer.slice(end + "</think>".length);
  return /^\s*<think>/.test(after) ? "" : after.trim();
}

export function readJson(answer: string): ReadJson {
  if (answer.trim() === "") return { is: "none", reason: "The answer is empty." };
  for (const candidate of candidates(answer)) {
    try {
      return { is: "json", value: parseJson(candidate) };
    } catch {}
  }
  return { is: "none", reason: "The answer is not JSON." };
}

function* candidates(answer: string): Generator<string> {
  yield answer;
  const text = withoutThoughts(answer);
  yield text;
  let start = -1;
  for (let tries = 0; tries < MAX_STARTS; tries += 1) {
    const next = text.slice(start + 1).search(/[{[]/);
    if (next < 0) return;
    start += 1 + next;
    const end = endOfValue(text, start);
    if (end !== null) yield text.slice(start, end);
  }
}

/** Where the object or array that begins at `start` ends. Braces inside strings do not count. */
function endOfValue(text: string, start: number): number | null {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at += 1) {
    const letter = text[at];
    if (inString && letter === "\\") at += 1;
    else if (letter === '"') inString = !inString;
    else if (inString) continue;
    else if (letter === "{" || letter === "[") depth += 1;
    else if ((letter === "}" || letter === "]") && --depth === 0) return at + 1;
  }
  return null;
}
