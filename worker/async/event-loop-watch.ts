// Ends this process when its event loop stands still: the code of a handler that runs without a pause holds up every job of the worker,
// lets their leases end, and cannot be stopped from within its own thread. Whoever keeps the worker running starts it again, the job has
// used up an attempt, and in the end it is given up. The thread that looks is event-loop-thread.mjs.
import { Worker } from "node:worker_threads";

export type Watch = {
  /** What the thread names when it ends the process, until it is over. */
  note(id: string, what: string): void;
  over(id: string): void;
};

/** Between a sign of life and the next, and between two looks for one: several within the limit, so that one that is late changes nothing. */
const beatMsOf = (limitMs: number) => Math.min(1_000, limitMs / 4);

/** From now on until the process ends; it does not keep the process alive. `json`: the last words are a line of a log. */
export function watchEventLoop({ seconds, json }: { seconds: number; json: boolean }): Watch {
  const limitMs = seconds * 1_000;
  const beatMs = beatMsOf(limitMs);
  const beats = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(new URL("./event-loop-thread.mjs", import.meta.url), {
    workerData: { beats, beatMs, limitMs, json },
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
  });
  thread.unref();
  // Without it the worker runs as before.
  thread.on("error", () => {});
  setInterval(() => Atomics.add(beats, 0, 1), beatMs).unref();
  return {
    note: (id, what) => thread.postMessage({ id, what }),
    over: (id) => thread.postMessage({ id }),
  };
}
