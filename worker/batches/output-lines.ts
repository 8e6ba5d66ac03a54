// What the output and error files of a batch say of a line, as OpenAI writes it, and the two files while they grow. A line counts once the
// store has it (batch-store.ts); what was written and not stored before a crash is cut off again.
import { type FileHandle, open } from "node:fs/promises";
import { z } from "zod";
import { openAiError } from "../engine/server/openai-errors.ts";
import { ERRORS, type ErrorCode, KamadoError } from "../errors.ts";
import type { Result } from "../job/result.ts";
import type { Batch, Line, Tokens } from "./batch-store.ts";

/** How a line ended. */
export type LineEnd = Pick<Result, "status" | "output" | "error">;
export type FileName = "output" | "error";

/** The id of a line's job. Lines of the same hundred have the same beginning, so that their results can be listed together. */
export const jobIdOf = (batch: string, number: number) => `${batch}-${String(number).padStart(9, "0")}`;

/** Null for a job that is no line of a batch. */
export function lineOf(job: string): { batch: string; number: number } | null {
  const [, batch, number] = /^(batch_[0-9a-f]+)-(\d{9})$/.exec(job) ?? [];
  return batch === undefined ? null : { batch, number: Number(number) };
}

/** The beginnings of the keys of these lines' results: few, because lines run in order. */
export const resultPrefixes = (batch: string, numbers: Iterable<number>): string[] => [
  ...new Set([...numbers].map((number) => `results/${jobIdOf(batch, number).slice(0, -2)}`)),
];

export function outputLine(batch: string, line: Line, end: LineEnd): { file: FileName; text: string } {
  const isGood = end.status === "succeeded";
  const said = isGood ? { response: { status: 200, body: end.output }, error: null } : failureOf(end);
  const job = jobIdOf(batch, line.number);
  const response = said.response && {
    status_code: said.response.status,
    request_id: job,
    body: said.response.body,
  };
  const id = `batch_req_${job.slice("batch_".length)}`;
  const fields = { id, custom_id: line.custom_id, response, error: said.error };
  return { file: isGood ? "output" : "error", text: `${JSON.stringify(fields)}\n` };
}

const Count = z.number().nonnegative().catch(0);
const Usage = z.object({
  prompt_tokens: Count,
  completion_tokens: Count,
  prompt_tokens_details: z.object({ cached_tokens: Count }).catch({ cached_tokens: 0 }),
  completion_tokens_details: z.object({ reasoning_tokens: Count }).catch({ reasoning_tokens: 0 }),
});
const NONE: Tokens = { input_tokens: 0, cached_tokens: 0, output_tokens: 0, reasoning_tokens: 0 };

/** What a line took, as far as its answer says. */
export function tokensOf({ output }: LineEnd): Tokens {
  const { data } = z.object({ usage: Usage }).safeParse(output);
  if (!data) return NONE;
  const { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } = data.usage;
  return {
    input_tokens: Math.round(prompt_tokens),
    output_tokens: Math.round(completion_tokens),
    cached_tokens: Math.round(prompt_tokens_details.cached_tokens),
    reasoning_tokens: Math.round(completion_tokens_details.reasoning_tokens),
  };
}

type Failure = {
  response: { status: number; body: unknown } | null;
  error: { code: string; message: string } | null;
};

const OWN_CODES: Partial<Record<string, string>> = { expired: "batch_expired", canceled: "batch_cancelled" };

/** A request that was refused has the response that the engine would have sent; one that came to no answer has an error. */
function failureOf({ error }: LineEnd): Failure {
  const { code, message } = error ?? {
    code: "handler_failed",
    message: "The job failed and said no reason.",
  };
  const { status } = ERRORS[code as ErrorCode] ?? { status: 500 };
  if (OWN_CODES[code] !== undefined || status < 400 || status >= 500)
    return { response: null, error: { code: OWN_CODES[code] ?? code, message } };
  const refused = openAiError(new KamadoError(code as ErrorCode, message));
  return { response: { status: refused.status, body: refused.body }, error: null };
}

/** Of a line that has no result when its batch ends. */
export const unfinished = (status: "expired" | "cancelled"): LineEnd =>
  status === "expired"
    ? {
        status: "expired",
        error: {
          code: "expired",
          message: "The line was not run before the batch's completion window ended.",
        },
      }
    : {
        status: "canceled",
        error: { code: "canceled", message: "The batch was cancelled before the line was run." },
      };

/** The two files of a running batch. */
export class ResultFiles implements AsyncDisposable {
  readonly #files: Record<FileName, { handle: FileHandle; bytes: number; texts: string[] }>;

  static async open(paths: Record<FileName, string>, batch: Pick<Batch, "output_bytes" | "error_bytes">) {
    const one = async (path: string, bytes: number) => {
      const handle = await open(path, "a");
      await handle.truncate(bytes);
      return { handle, bytes, texts: [] as string[] };
    };
    const output = await one(paths.output, batch.output_bytes);
    return new ResultFiles({ output, error: await one(paths.error, batch.error_bytes) });
  }

  private constructor(files: Record<FileName, { handle: FileHandle; bytes: number; texts: string[] }>) {
    this.#files = files;
  }

  add({ file, text }: { file: FileName; text: string }): void {
    this.#files[file].texts.push(text);
  }

  /** Resolves with the lengths when everything is on the disk. */
  async flush(): Promise<Pick<Batch, "output_bytes" | "error_bytes">> {
    for (const file of Object.values(this.#files)) {
      if (file.texts.length === 0) continue;
      const bytes = Buffer.from(file.texts.splice(0).join(""));
      await file.handle.appendFile(bytes);
      await file.handle.datasync();
      file.bytes += bytes.length;
    }
    return { output_bytes: this.#files.output.bytes, error_bytes: this.#files.error.bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { handle } of Object.values(this.#files)) await handle.close();
  }
}
