// What the engines noted of the answers they began, read as it grows.
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { Record } from "../worker/engine/backends/scripted/script.ts";
import { JOB_ID } from "./jobs.ts";

export type Answer = Pick<Record, "at" | "pid" | "what"> & { job: string | null };

export class Answers {
  readonly all: Answer[] = [];
  readonly #path: string;
  #read = 0;
  /** The start of a line that is still being written. */
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** What has come since the last look. */
  look(): Answer[] {
    const lines = (this.#rest + this.#more()).split("\n");
    this.#rest = lines.pop()!;
    const fresh = lines.map(answerOf);
    this.all.push(...fresh);
    return fresh;
  }

  #more(): string {
    if (!existsSync(this.#path)) return "";
    const file = openSync(this.#path, "r");
    try {
      const parts: Buffer[] = [];
      for (;;) {
        const part = Buffer.alloc(65_536);
        const length = readSync(file, part, 0, part.length, this.#read);
        if (length === 0) return Buffer.concat(parts).toString();
        this.#read += length;
        parts.push(part.subarray(0, length));
      }
    } finally {
      closeSync(file);
    }
  }
}

function answerOf(line: string): Answer {
  const { at, pid, what, prompt } = JSON.parse(line) as Record;
  return { at, pid, what, job: JOB_ID.exec(prompt)?.[0] ?? null };
}
