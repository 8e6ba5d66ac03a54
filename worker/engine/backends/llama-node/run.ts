// One completion through the library's own batching: queued, heard piece by piece, cut off when its client goes away.
import type { CompletionOptions, NativeContext, NativeResult, NativeToken } from "./native.ts";

/** A piece is a token, or several that only together are whole characters. */
export function runOnce(
  { ctx }: NativeContext,
  options: CompletionOptions,
  onPiece: (piece: NativeToken) => void,
  signal: AbortSignal,
): Promise<NativeResult> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<NativeResult>();
  let over = false;
  const end = (settle: () => void) => {
    over = true;
    signal.removeEventListener("abort", cut);
    settle();
  };
  const cut = () => {
    ctx.cancelRequest(requestId);
    end(() => reject(signal.reason));
  };
  const { requestId } = ctx.queueCompletion(options, (error, result) => {
    if (over) return;
    if (error) end(() => reject(error instanceof Error ? error : new Error(String(error))));
    else if (result === undefined) end(() => reject(new Error("the library said nothing")));
    else if (result.token === undefined) end(() => resolve(result));
    else onPiece(result);
  });
  signal.addEventListener("abort", cut, { once: true });
  return promise;
}
