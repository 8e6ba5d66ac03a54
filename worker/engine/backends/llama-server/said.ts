// What llama-server prints, and what of it may be passed on: it prints grammars and pieces of prompts too. Pure.

// Of what it prints while it serves, only lines of these kinds say nothing of a request.
const SAFE = [
  /GGML_ASSERT|GGML_ABORT/,
  /^(terminate called|libc\+\+abi|\s*what\(\):)/,
  /^(ggml|llama|clip|mtmd)\w*: .*(error|fail|unable|cannot|not found|out of memory)/i,
  /^\s*decode: failed/,
];
const TELLING =
  /error|fail|unable|cannot|can't|could not|not found|unsupported|unknown|invalid|no such|out of memory|abort/i;
const LAST_LINES = 4;

/** `0.00.013.017 E srv    load_model: why` -> `load_model: why`. */
export function wordsOf(line: string): string {
  return line.replace(/^[\d.]+ [EWID] (\w+ {2,})?/, "").trim();
}

export type Level = "debug" | "warn" | "error";
/** How what it says is passed on. */
export type Say = (words: string, level: Level) => void;

/** Its warnings tell how it was built more than what is wrong. */
export function levelOf(line: string): Level {
  return / E /.test(line.slice(0, 20)) ? "error" : / W /.test(line.slice(0, 20)) ? "debug" : "warn";
}

/** Whether a line that came while requests were served may be logged. */
export const isSafe = (words: string) => SAFE.some((kind) => kind.test(words));

/** The end of what it said before it served anything: the lines that tell why, or else just the last ones. */
export function reasonIn(lines: readonly string[]): string {
  const words = lines.map(wordsOf).filter(Boolean);
  const telling = words.filter((line) => TELLING.test(line));
  return (telling.length > 0 ? telling : words).slice(-LAST_LINES).join("\n");
}
