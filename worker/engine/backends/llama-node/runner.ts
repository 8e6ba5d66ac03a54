// Runs completions beside each other in the library: decides when the library may be called, cancels the requests of clients
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
  readonly #turns = new PictureTurns();

  constructor(context: NativeContext, slots: number) {
    this.#context = context;
    this.slots = new SlotUses(slots);
  }

  async run({ options, prompt, onToken }: Run, signal: AbortSignal): Promise<NativeResult> {
    const { ends } = prompt.pictures;
    const encodes = ends.length > 0 && this.slots.warmTokens(prompt) < ends.at(-1)!;
    await this.#turns.enter(encodes, signal);
    const slot = this.slots.take(prompt);
    const events: Events = {
      onBegun: () => encodes && this.#turns.leave(),
      onToken: (token) => {
        this.slots.decoded(slot);
        onToken(token);
      },
      onEnded: () => this.slots.free(slot),
    };
    const result = await runCompletion(this.#context, options, events, signal);
    if (hasFailed(result))
      throw new KamadoError("engine_unavailable", "The library ended the request without an answer.");
    const reused = picturesWithin(prompt.pictures, result.timings.cache_n);
    this.pictures.reused += reused;
    this.pictures.encoded += ends.length - reused;
    return result;
  }
}

type Events = {
  onToken(token: NativeToken): void;
  /** Once: the prompt has been evaluated. */
  onBegun(): void;
  /** Once: the library has finished the request. For a cancelled request this comes after the promise is rejected. */
  onEnded(): void;
};

/**
 * The library cancels without taking its lock. A cancellation that arrives while it records the result of a step may end the
 * process. So a request is cancelled a moment after a token: the next step is being computed then, which takes nearly all of the time.
 */
const CANCEL_AFTER_TOKEN_MS = 2;

function runCompletion(
  { ctx }: NativeContext,
  options: CompletionOptions,
  events: Events,
  signal: AbortSignal,
): Promise<NativeResult> {
  const { promise, resolve, reject } = Promise.withResolvers<NativeResult>();
  let requestId: number;
  let [isBegun, isSettled, isCancelling, isEnded] = [false, false, false, false];
  const begin = () => {
    if (!isBegun) events.onBegun();
    isBegun = true;
  };
  const end = () => {
    if (isEnded) return;
    isEnded = true;
    begin();
    events.onEnded();
  };
  const cancel = () => {
    if (!isEnded) ctx.cancelRequest(requestId);
    end();
  };
  const cancelSoon = () => {
    if (!isCancelling) setTimeout(cancel, CANCEL_AFTER_TOKEN_MS);
    isCancelling = true;
  };
  const settle = (how: () => void) => {
    isSettled = true;
    signal.removeEventListener("abort", onAbort);
    how();
  };
  const onAbort = () => {
    // While the library encodes pictures it cannot stop, and a call would block this process until it has finished.
    if (!isBegun && options.media_paths === undefined) cancel();
    settle(() => reject(signal.reason));
  };
  const onResult = (error: unknown, result: NativeToken | NativeResult | undefined) => {
    const isLast = result?.token === undefined;
    if (isSettled) return isLast ? end() : cancelSoon();
    if (isLast) end();
    else begin();
    if (result === undefined || error) settle(() => reject(errorOf(error)));
    else if (result.token === undefined) settle(() => resolve(result));
    else events.onToken(result);
  };
  try {
    signal.throwIfAborted();
    ({ requestId } = ctx.queueCompletion(options, onResult));
  } catch (thrown) {
    end();
    throw thrown;
  }
  signal.addEventListener("abort", onAbort, { once: true });
  return promise;
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
