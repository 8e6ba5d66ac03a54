// The JSON in a model's answer, read tolerantly: thoughts, code fences and words around it do not count. Pure, and
// linear in the answer's length: what a model writes may have been steered by whoever wrote its input.

const MAX_STARTS = 20;

export type ReadJson = { is: "json"; value: unknown } | { is: "none"; reason: string };

/** The answer without the thoughts some models put before it. */
export function withoutThoughts(answer: string): string {
  // A template may open the block itself, so that only its end is seen; a cut-off answer may have no end.
  const end = answer.lastIndexOf("</think>");
  const after = end < 0 ? answer : answer.slice(end + "</think>".length);
  return /^\s*<think>/.test(after) ? "" : after.trim();
}

export function readJson(answer: string): ReadJson {
  if (answer.trim() === "") return { is: "none", reason: "The answer is empty." };
  for (const candidate of candidates(answer)) {
    try {
      return { is: "json", value: JSON.parse(candidate) };
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

/** Where the object or array that starts at `start` ends; braces inside strings do not count. */
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
