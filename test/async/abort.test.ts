import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { unlessAborted, whenAborted } from "../../worker/async/abort.ts";

describe("waiting for work that knows no signals", () => {
  test("ends with the work, and leaves no listener behind", async () => {
    const { signal } = new AbortController();
    await expect(unlessAborted(Promise.resolve(1), signal)).resolves.toBe(1);
    await expect(unlessAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("ends with the signal's reason, whatever becomes of the work", async () => {
    const cut = new AbortController();
    const work = Promise.withResolvers<number>();
    const waiting = unlessAborted(work.promise, cut.signal);
    cut.abort(new Error("stopping"));
    await expect(waiting).rejects.toThrow("stopping");
    work.reject(new Error("nobody hears this"));
  });

  test("does not begin once the signal has fired", async () => {
    const waiting = unlessAborted(Promise.resolve(1), AbortSignal.abort(new Error("stopping")));
    await expect(waiting).rejects.toThrow("stopping");
  });
});

test("a signal can be waited for, also one that has fired already", async () => {
  const cut = new AbortController();
  const waiting = whenAborted(cut.signal);
  cut.abort();
  await waiting;
  await whenAborted(cut.signal);
});
