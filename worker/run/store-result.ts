// The store station: the result made durable, before anybody hears of it. What was worked out is dearer than a few seconds:
// a bucket that is away for a moment must not cost another run.
import type { Clock } from "../clock.ts";
import { toKamadoError } from "../errors.ts";
import type { Result } from "../job/result.ts";
import { backoffMs } from "./backoff.ts";
import type { Journal } from "./journal.ts";
import type { Results } from "./results.ts";

const TRIES = 5;
const BACKOFF = { baseMs: 500, maxMs: 4_000 };

export type StoreOptions = { results: Results; journal: Journal; workshop: { clock: Clock } };

/** `goOn` is asked before each further try. Throws `storage_unavailable` after the last. */
export async function storeResult(
  result: Result,
  { results, journal, workshop }: StoreOptions,
  goOn: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await results.store(result);
      break;
    } catch (thrown) {
      if (!toKamadoError(thrown, "storage_unavailable").retry || tries === TRIES) throw thrown;
      await workshop.clock.sleep(backoffMs(tries, BACKOFF), signal);
      if (signal.aborted || !(await goOn())) throw thrown;
    }
  }
  const about = { job: result.id, kind: result.kind, status: result.status };
  journal.tell("stored", about, `result stored at ${results.address(result.id)}`);
}
