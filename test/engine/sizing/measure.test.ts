// A machine is measured through the backend's port alone: here through one whose speed follows a curve, on a clock that is
// moved by what it does.
import { describe, expect, test } from "vitest";
import type { Backend, Emit, Outcome } from "../../../worker/engine/generation/backend.ts";
import { chooseWidth } from "../../../worker/engine/sizing/choose.ts";
import { measure } from "../../../worker/engine/sizing/measure.ts";

type Answer = {
  emit: Emit;
  left: number;
  emitted: number;
  done(outcome: Outcome): void;
  failed(why: Error): void;
};
type Machine = {
  slots?: number;
  /** Tokens a second of all together, when so many decode. */
  rate(width: number): number;
  /** How many tokens the nth answer has. */
  tokens?(nth: number): number;
  /** With so many at once it fails. */
  failsAt?: number;
};

/** Steps like a real one: each step gives every answer a token and takes as long as the curve says. */
class CurveBackend implements Backend {
  readonly info: Backend["info"];
  readonly prompts: string[] = [];
  now = 0;
  readonly #machine: Machine;
  readonly #running = new Set<Answer>();
  #loop: Promise<void> | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
    const slots = machine.slots ?? 16;
    this.info = {
      backend: "scripted",
      model: "curve",
      contextSize: 1_024,
      slots,
      images: false,
      thinks: false,
      unsupported: [],
    };
  }

  async prepare({ prompt, maxTokens = 1 }: Parameters<Backend["prepare"]>[0]) {
    const text = "text" in prompt ? prompt.text : "";
    const most = this.#machine.tokens?.(this.prompts.push(text)) ?? Infinity;
    const promptTokens = text.split(" ").length;
    const run = (emit: Emit) => {
      const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
      this.now += promptTokens;
      this.#running.add({ emit, left: Math.min(most, maxTokens), emitted: 0, done: resolve, failed: reject });
      this.#loop ??= this.#steps();
      return promise;
    };
    return { promptTokens, run };
  }

  async #steps(): Promise<void> {
    await Promise.resolve();
    while (this.#running.size > 0) {
      const width = this.#running.size;
      this.now += (1_000 * width) / this.#machine.rate(width);
      for (const answer of [...this.#running]) this.#step(answer, width);
      await Promise.resolve();
    }
    this.#loop = undefined;
  }

  #step(answer: Answer, width: number): void {
    const { failsAt = Infinity } = this.#machine;
    if (width < failsAt && ++answer.emitted && answer.emit({ text: "1" }) && answer.emitted < answer.left)
      return;
    this.#running.delete(answer);
    if (width >= failsAt) answer.failed(new Error("no room for the batch"));
    const counts = { promptTokens: 1, cachedTokens: 0, completionTokens: answer.emitted };
    answer.done({ finish: "stop", ...counts });
  }

  async close(): Promise<void> {}
}

const signal = new AbortController().signal;
async function measured(machine: Machine, budgetMs = 10_000) {
  const backend = new CurveBackend(machine);
  const result = await measure(backend, { now: () => backend.now, budgetMs, signal });
  const rates = Object.fromEntries(
    result.readings.map(({ width, tokensPerSecond }) => [width, Math.round(tokensPerSecond)]),
  );
  return { ...result, rates, backend, slots: chooseWidth(result) };
}
const along = (rates: Record<number, number>) => (width: number) => rates[width] ?? 100;

const APPLE = { 1: 337, 2: 560, 4: 900, 8: 1_336, 9: 778, 16: 1_100 };

describe("measuring", () => {
  test("finds the curve and the slots before the cliff", async () => {
    const { rates, slots, leftOut, prefillTokensPerSecond } = await measured({ rate: along(APPLE) });
    expect({ rates, slots, leftOut }).toEqual({ rates: APPLE, slots: 8, leftOut: [] });
    expect(prefillTokensPerSecond).toBeGreaterThan(0);
  });

  test("asks every time for something else, so that nothing is shared", async () => {
    const { backend } = await measured({ rate: along(APPLE) });
    expect(new Set(backend.prompts.map((text) => text.split(" ")[0])).size).toBe(backend.prompts.length);
  });

  test("leaves out what a slow machine has no time for, and says so", async () => {
    const { leftOut, tookMs, readings } = await measured({ rate: (width) => 2 * Math.sqrt(width) });
    expect(readings.map(({ width }) => width)).toEqual([1, 2, 4]);
    expect(leftOut).toEqual([8, 9, 16].map((width) => ({ width, why: "time" })));
    expect(tookMs).toBeLessThan(15_000 + 1_500);
  });

  test("takes what worked when more at once fail", async () => {
    const { rates, slots, leftOut } = await measured({ rate: (width) => 50 * width, failsAt: 16 });
    expect(rates).toEqual({ 1: 50, 2: 100, 4: 200, 8: 400, 9: 450 });
    expect(leftOut).toEqual([{ width: 16, why: "failed", words: "no room for the batch" }]);
    expect(slots).toBe(9);
  });

  test("measures no more than the slots that there are", async () => {
    const { rates, leftOut } = await measured({ rate: (width) => 50 * width, slots: 4 });
    expect(Object.keys(rates)).toEqual(["1", "2", "4"]);
    expect(leftOut).toEqual([8, 9, 16].map((width) => ({ width, why: "memory" })));
  });

  test("tries again where answers end early now and then", async () => {
    const { rates, leftOut } = await measured({
      rate: along(APPLE),
      tokens: (nth) => (nth % 37 === 0 ? 2 : 1_000),
    });
    expect([rates[1], rates[2], rates[4], rates[8]]).toEqual([337, 560, 900, 1_336]);
    expect(leftOut).toEqual([]);
  });

  test("says so where they always do", async () => {
    const { readings, leftOut, slots } = await measured({ rate: along(APPLE), tokens: () => 2 });
    expect({ readings, slots, whys: leftOut.map(({ why }) => why) }).toEqual({
      readings: [],
      slots: undefined,
      whys: Array(6).fill("ended"),
    });
  });

  test("is not steady when the machine is busy with something else", async () => {
    const backend: CurveBackend = new CurveBackend({
      rate: (width) => (backend.now < 3_500 ? 100 * width : 40 * width),
    });
    const result = await measure(backend, { now: () => backend.now, budgetMs: 20_000, signal });
    expect({ steady: result.steady, slots: chooseWidth(result) }).toEqual({
      steady: false,
      slots: undefined,
    });
  });

  test("looks again at a fall that was only a disturbance", async () => {
    let backend: CurveBackend | undefined;
    const disturbed = { from: 0, to: 0 };
    const rate = (width: number) => {
      const at = backend!.now;
      if (width === 4 && disturbed.to === 0) Object.assign(disturbed, { from: at, to: at + 1_200 });
      return at >= disturbed.from && at < disturbed.to ? 60 : 100 * width;
    };
    backend = new CurveBackend({ rate });
    const result = await measure(backend, { now: () => backend.now, budgetMs: 20_000, signal });
    expect(chooseWidth(result)).toBe(16);
  });
});
