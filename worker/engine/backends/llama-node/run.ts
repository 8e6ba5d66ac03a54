// One completion through the library's own batching: queued, heard piece by piece, cut off when its client goes away.
import type { CompletionOptions, NativeContext, NativeResult, NativeToken } from "./native.ts";

export type Heard = {
  /** A piece is a token, or several that only together are whole characters. */
  onPiece(piece: NativeToken): void;
  /** Once: the prompt has been evaluated, what was to be loaded is loaded, and what was to be saved of it is saved. */
  onBegun(): void;
  /** Once, when the library is done with it; later than the promise for a request that was cut off. */
  onGone(): void;
};

/**
 * The library cancels without its lock, and a cancel that comes while it books what a step brought may end the process. So
 * it comes a moment after a piece: then the next step is being computed, which is nearly all of the time.
 */
const AFTER_PIECE_MS = 2;

export function runOnce(
  { ctx }: NativeContext,
  options: CompletionOptions,
  heard: Heard,
  signal: AbortSignal,
): Promise<NativeResult> {
  const { promise, resolve, reject } = Promise.withResolvers<NativeResult>();
  let [begun, over, left, isGone] = [false, false, false, false];
  const begin = () => {
    if (!begun) heard.onBegun();
    begun = true;
  };
  const gone = () => {
    if (isGone) return;
    isGone = true;
    begin();
    heard.onGone();
  };
  const leave = () => {
    if (!isGone) ctx.cancelRequest(requestId);
    gone();
  };
  const leaveSoon = () => {
    if (!left) setTimeout(leave, AFTER_PIECE_MS);
    left = true;
  };
  const settle = (how: () => void) => {
    over = true;
    signal.removeEventListener("abort", cut);
    how();
  };
  const cut = () => {
    // While the library looks at pictures it does not stop, and whoever speaks to it would stand still.
    if (!begun && options.media_paths === undefined) leave();
    settle(() => reject(signal.reason));
  };
  const hear = (error: unknown, result: NativeToken | NativeResult | undefined) => {
    const last = result?.token === undefined;
    if (over) return last ? gone() : leaveSoon();
    if (last) gone();
    else begin();
    if (result === undefined || error) settle(() => reject(errorOf(error)));
    else if (result.token === undefined) settle(() => resolve(result));
    else heard.onPiece(result);
  };
  let requestId: number;
  try {
    signal.throwIfAborted();
    ({ requestId } = ctx.queueCompletion(options, hear));
  } catch (thrown) {
    gone();
    throw thrown;
  }
  signal.addEventListener("abort", cut, { once: true });
  return promise;
}

const errorOf = (error: unknown) =>
  error instanceof Error ? error : new Error(error ? String(error) : "the library said nothing");

/** The library tells of no failure: an answer that ended for none of its reasons is one. */
export function failed({ stopped_eos, stopped_limit, stopped_word, context_full }: NativeResult): boolean {
  return !(stopped_eos || stopped_limit || stopped_word || context_full);
}
