// What a scripted engine was asked, on disk: one JSON line for each answer begun and each one over. It outlives the process,
// however that ends, so that answers can be counted over any number of engines and crashes.
import { appendFileSync } from "node:fs";

export type Record = { at: number; pid: number; what: "begun" | "over"; prompt: string };

/** Notes in the file at `path`, which many engines may share; without one, nowhere. */
export function recordIn(path: string | undefined): (what: Record["what"], prompt: string) => void {
  if (path === undefined) return () => {};
  return (what, prompt) => {
    const line: Record = { at: Date.now(), pid: process.pid, what, prompt };
    // One write a line, at once: a buffer would die with the process.
    appendFileSync(path, `${JSON.stringify(line)}\n`);
  };
}
