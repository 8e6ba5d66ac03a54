// The validation of a batch: all of its lines are good and known to the store, or the batch has failed and none of them runs. It is done
// again from its beginning after a crash.
import { setImmediate as pause } from "node:timers/promises";
import type { BatchStore, Line, LineError } from "./batch-store.ts";
import { linesOf, readRequest } from "./input-lines.ts";

export const MAX_LINES = 50_000;
/** More would help nobody to correct a file. */
const MAX_ERRORS = 100;
/** Lines that are stored in one step. */
const STEP = 500;

export type Validated = { total: number; model: string | null; errors: LineError[] };

export async function validate(
  store: BatchStore,
  batch: { id: string; endpoint: string },
  path: string,
  signal: AbortSignal,
): Promise<Validated> {
  store.removeLines(batch.id);
  const found = { total: 0, model: undefined as string | null | undefined, errors: [] as LineError[] };
  let lines: Line[] = [];
  const flush = () => {
    for (const { number } of store.addLines(batch.id, lines))
      found.errors.push({ ...DUPLICATE, line: number });
    lines = [];
  };
  for await (const { bytes, ...place } of linesOf(path)) {
    signal.throwIfAborted();
    found.total += 1;
    if (found.total > MAX_LINES) return { total: 0, model: null, errors: [TOO_MANY] };
    const request = readRequest(bytes, batch.endpoint);
    if ("code" in request) found.errors.push({ ...request, line: place.number });
    else {
      found.model = found.model === undefined ? request.model : found.model;
      if (request.model !== found.model)
        found.errors.push({ ...otherModel(found.model), line: place.number });
      lines.push({ ...place, custom_id: request.customId });
    }
    if (lines.length === STEP) flush();
    // Jobs run meanwhile.
    if (found.total % STEP === 0) await pause();
    if (found.errors.length >= MAX_ERRORS) break;
  }
  flush();
  if (found.total === 0) found.errors.push(EMPTY);
  const errors = found.errors.toSorted((one, other) => (one.line ?? 0) - (other.line ?? 0));
  return { total: found.total, model: found.model ?? null, errors: errors.slice(0, MAX_ERRORS) };
}

const DUPLICATE = {
  code: "duplicate_custom_id",
  message: "The custom_id of this line is that of another line. It must be unique in a batch.",
  param: "custom_id",
};
const otherModel = (model: string | null) => ({
  code: "model_mismatch",
  message: `All lines of a batch must ask for the same model; the first one names ${model ?? "none"}.`,
  param: "body.model",
});
const TOO_MANY: LineError = {
  code: "too_many_tasks",
  message: `The file has more than ${MAX_LINES} lines. Split it into several batches.`,
  param: null,
  line: null,
};
const EMPTY: LineError = {
  code: "empty_file",
  message: "The file has no lines.",
  param: null,
  line: null,
};
