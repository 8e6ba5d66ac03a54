// Works through inputs, some at the same time, and gives what comes of them in the order of the inputs. Owns how far it reads ahead: a
// million inputs are never in memory, and one that takes long holds up reading only when enough others wait behind it.
import { unlessAborted } from "../worker/async/abort.ts";

export type InOrderOptions = {
  /** How many are worked on at the same time. */
  concurrency: number;
  /** How many may be read and not given yet: those in work, and those that are done and wait for an earlier one. */
  ahead: number;
  signal: AbortSignal;
};

/** `work` never throws. What the inputs throw is thrown after all that came before it; the signal's reason at once. */
export async function* inOrder<T, R>(
  inputs: Iterable<T> | AsyncIterable<T>,
  work: (input: T, index: number) => Promise<R>,
  { concurrency, ahead, signal }: InOrderOptions,
): AsyncGenerator<R, void, undefined> {
  const iterator: Iterator<T> | AsyncIterator<T> =
    Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
  const read: Promise<R>[] = [];
  const state = { running: 0, index: 0, isReading: false, isEnded: false };
  let failure: { thrown: unknown } | undefined;
  let wakeUp = () => {};

  async function readOn(): Promise<void> {
    if (state.isReading) return;
    state.isReading = true;
    try {
      while (!state.isEnded && state.running < concurrency && read.length < ahead) {
        const next = await iterator.next();
        if (state.isEnded) break;
        if (next.done) state.isEnded = true;
        else start(next.value);
      }
    } catch (thrown) {
      failure = { thrown };
      state.isEnded = true;
    }
    state.isReading = false;
    wakeUp();
  }

  function start(input: T): void {
    state.running += 1;
    const done = work(input, state.index++).finally(() => {
      state.running -= 1;
      void readOn();
    });
    // It is thrown where it is awaited.
    done.catch(() => {});
    read.push(done);
    wakeUp();
  }

  try {
    void readOn();
    for (;;) {
      signal.throwIfAborted();
      const [first] = read;
      if (first) {
        const value = await unlessAborted(first, signal);
        read.shift();
        void readOn();
        yield value;
      } else if (state.isEnded) {
        if (failure) throw failure.thrown;
        return;
      } else {
        const woken = new Promise<void>((resolve) => {
          wakeUp = resolve;
        });
        await unlessAborted(woken, signal);
      }
    }
  } finally {
    state.isEnded = true;
    // Not awaited: an iterator that waits for its next input ends with that.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
