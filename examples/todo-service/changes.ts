// Tells open pages that the list or a sentence has changed. What has changed they read again, so that a page which was away for a while
// needs nothing besides.

import type { Context } from "hono";
import { streamSSE } from "hono/streaming";

export class Changes {
  readonly #listeners = new Set<() => void>();

  tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** The function returned ends it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Server-sent events until the page goes away or `stopping` fires. Changes in a row are one event, so a page that does not read costs nothing. */
export function streamChanges(c: Context, changes: Changes, stopping: AbortSignal | undefined): Response {
  const response = streamSSE(c, async (stream) => {
    let isNew = true;
    let wake = () => {};
    const onChange = () => {
      isNew = true;
      wake();
    };
    const unlisten = changes.listen(onChange);
    const onEnd = () => wake();
    stream.onAbort(onEnd);
    stopping?.addEventListener("abort", onEnd);
    while (!stream.aborted && !stopping?.aborted) {
      if (isNew) {
        isNew = false;
        await stream.writeSSE({ event: "changed", data: "" });
      } else await new Promise<void>((resolve) => (wake = resolve));
    }
    unlisten();
    stopping?.removeEventListener("abort", onEnd);
  });
  // Otherwise the connection would stay open after the stream, and a stop would wait for it.
  response.headers.set("Connection", "close");
  return response;
}
