// Runs completions beside each other in the library: decides when the library may be called, ends the requests of clients
// that have gone, and counts how many pictures were encoded. What a completion is asked for is complete.ts's business.
import { KamadoError } from "../../../errors.ts";
import type { NativePrompt } from "./chat-template.ts";
import type { CompletionOptions, NativeContext, NativeResult, NativeToken } from "./native.ts";
import { picturesWithin, SlotUses } from "./slot-use.ts";

export type Run = {
  options: CompletionOptions;
  prompt: NativePrompt;
  /** Called for each token, or for several at once that form whole characters only together. */
  onToken(token: NativeToken): void;
};

export class Runner {
  readonly slots: SlotUses;
  readonly pictures = { encoded: 0, reused: 0 };
  readonly #context: NativeContext;
  readonly #shape: { n_parallel: number; n_batch: number };
  readonly #turns = new PictureTurns();
  readonly #runs = new Set<NativeRun>();

  constructor(context: NativeContext, shape: { n_parallel: number; n_batch: number }) {
    this.#context = context;
    this.#shape = shape;
    this.slots = new SlotUses(shape.n_parallel);
  }

  async run({ options, prompt, onToken }: Run, signal: AbortSignal): Promise<NativeResult> {
    const { ends } = prompt.pictures;
    const encodes = ends.length > 0 && this.slots.warmTokens(prompt) < ends.at(-1)!;
    await this.#turns.enter(encodes, signal);
    const slot = this.slots.take(prompt);
    const result = await this.#complete(
      options,
      {
        onBegun: () => encodes && this.#turns.leave(),
        onToken: (token) => {
          this.slots.decoded(slot);
          onToken(token);
        },
        onEnded: () => this.slots.free(slot),
      },
      signal,
    );
    if (hasFailed(result))
      throw new KamadoError("engine_unavailable", "The library ended the request without an answer.");
    const reused = picturesWithin(prompt.pictures, result.timings.cache_n);
    this.pictures.reused += reused;
    this.pictures.encoded += ends.length - reused;
    return result;
  }

  async #complete(options: CompletionOptions, events: Events, signal: AbortSignal): Promise<NativeResult> {
    const run = new NativeRun(options, events, signal, () => this.#changed());
    this.#runs.add(run);
    try {
      signal.throwIfAborted();
      this.#context.ctx.queueCompletion(options, run.onResult);
    } catch (thrown) {
      run.end();
      this.#runs.delete(run);
      throw thrown;
    }
    return run.result.finally(() => this.#runs.delete(run));
  }

  /**
   * The library's own cancellation takes no lock and may end the process if a step ends at the same moment. So a request whose
   * client has gone keeps its slot until it ends by itself or no other request runs. Then the library's thread is stopped, which waits
   * for the end of its step, and started anew with empty slots. From there on nothing of the old requests runs.
   */
  #changed(): void {
    const runs = [...this.#runs].filter(({ isEnded }) => !isEnded);
    if (runs.length === 0 || runs.some(({ isAbandoned, mayEncode }) => !isAbandoned || mayEncode)) return;
    this.#context.ctx.disableParallelMode();
    if (!this.#context.ctx.enableParallelMode(this.#shape))
      throw new Error("The library cannot be started anew.");
    this.slots.reset();
    for (const run of runs) run.end();
  }
}

type Events = {
  onToken(token: NativeToken): void;
  /** Once: the prompt has been evaluated. */
  onBegun(): void;
  /** Once: the library has finished the request, or has been started anew. */
  onEnded(): void;
};

/** One request in the library. */
class NativeRun {
  readonly result: Promise<NativeResult>;
  isAbandoned = false;
  /** While the library encodes pictures, a call to it would block this process. */
  mayEncode: boolean;
  readonly #settle = Promise.withResolvers<NativeResult>();
  readonly #events: Events;
  readonly #signal: AbortSignal;
  readonly #onChange: () => void;
  #isBegun = false;
  isEnded = false;

  constructor(options: CompletionOptions, events: Events, signal: AbortSignal, onChange: () => void) {
    this.result = this.#settle.promise;
    this.mayEncode = options.media_paths !== undefined;
    this.#events = events;
    this.#signal = signal;
    this.#onChange = onChange;
    signal.addEventListener("abort", this.#abandon, { once: true });
  }

  readonly onResult = (error: unknown, result: NativeToken | NativeResult | undefined): void => {
    if (this.isEnded) return;
    const isToken = result?.token !== undefined;
    if (isToken && !error) {
      this.#begin();
      if (!this.isAbandoned) this.#events.onToken(result);
    } else {
      if (error || result === undefined || isToken) this.#settle.reject(errorOf(error));
      else if (!this.isAbandoned) this.#settle.resolve(result);
      this.end();
    }
    this.#onChange();
  };

  end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.#begin();
    this.#signal.removeEventListener("abort", this.#abandon);
    this.#events.onEnded();
    if (this.isAbandoned) this.#settle.reject(this.#signal.reason);
  }

  readonly #abandon = (): void => {
    this.isAbandoned = true;
    this.#onChange();
  };

  #begin(): void {
    if (!this.#isBegun) this.#events.onBegun();
    this.#isBegun = true;
    this.mayEncode = false;
  }
}

const errorOf = (error: unknown) =>
  error instanceof Error ? error : new Error(error ? String(error) : "The library returned nothing.");

/** The library reports no failures: an answer that ended for none of its reasons is one. */
export function hasFailed({ stopped_eos, stopped_limit, stopped_word, context_full }: NativeResult): boolean {
  return !(stopped_eos || stopped_limit || stopped_word || context_full);
}

/**
 * Lets one request at a time encode pictures. While the library encodes, every call to it blocks, and the whole process with
 * it, so nobody calls it then. Requests without new pictures that came meanwhile go before the next picture.
 */
export class PictureTurns {
  #isEncoding = false;
  readonly #pictures: (() => void)[] = [];
  readonly #others: (() => void)[] = [];

  /** Resolves when the library may be called. A request that encodes calls `leave` when its pictures are encoded. */
  async enter(encodes: boolean, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#isEncoding) await this.#wait(encodes ? this.#pictures : this.#others, signal);
    if (encodes) this.#isEncoding = true;
  }

  leave(): void {
    for (const admit of this.#others.splice(0)) admit();
    const next = this.#pictures.shift();
    if (next) next();
    else this.#isEncoding = false;
  }

  /** Once admitted, a request has its turn, even if its client goes away at that very moment. */
  #wait(queue: (() => void)[], signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const admit = () => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = () => {
      queue.splice(queue.indexOf(admit), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    queue.push(admit);
    return promise;
  }
}
