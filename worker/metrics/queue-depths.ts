// How many messages are in the worker's queues, asked when somebody looks at the metrics and not too often, because a call costs money. Not
// every worker has the right to ask; then the figures are absent, and it is asked again only after a while.
import type { Clock } from "../async/clock.ts";
import type { Depth } from "../queue/whole-queue.ts";
import type { QueueDepth } from "./worker-metrics.ts";

export type QueueDepthsOptions = {
  /** Those of jobs first. */
  urls: readonly string[];
  depthOf(url: string): Promise<Depth>;
  /** The shortest time between two looks. */
  everyMs: number;
  clock: Pick<Clock, "now" | "sleep">;
};

/** Whoever asks for the metrics waits so long for a queue that answers slowly; the figures come with the next look. */
const PATIENCE_MS = 1_000;
const AFTER_FAILURE_MS = 600_000;

/** The depth of each queue that is known. Never throws. */
export function createQueueDepths({ urls, depthOf, everyMs, clock }: QueueDepthsOptions) {
  const known = new Map<string, { depth: QueueDepth | undefined; until: number }>();
  let looking: Promise<void> | undefined;

  async function look(url: string): Promise<void> {
    const depth = await depthOf(url).catch(() => undefined);
    const until = clock.now() + (depth ? everyMs : AFTER_FAILURE_MS);
    known.set(url, { depth: depth && { queue: nameOf(url), ...depth }, until });
  }

  async function lookAtAll(): Promise<void> {
    const due = urls.filter((url) => (known.get(url)?.until ?? 0) <= clock.now());
    await Promise.all(due.map(look));
    looking = undefined;
  }

  return async (): Promise<QueueDepth[]> => {
    const over = new AbortController();
    looking ??= lookAtAll();
    await Promise.race([looking, clock.sleep(PATIENCE_MS, over.signal)]);
    over.abort();
    return urls.map((url) => known.get(url)?.depth).filter((depth) => depth !== undefined);
  };
}

/** Of a queue's address. */
export const nameOf = (url: string): string => url.split("/").at(-1) ?? url;
