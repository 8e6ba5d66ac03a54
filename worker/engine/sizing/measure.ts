// Measures a backend at one width after the other (a width is how many requests decode at once), within a few seconds. One
// measurement is window.ts; what follows from the numbers is choose.ts.
import type { Backend } from "../generation/backend.ts";
import { cliffs, isSteady, type LeftOut, type Measured, type Reading, WIDTHS } from "./choose.ts";
import { countingPrompt, generationOf, measureWindow, SAMPLING, type Window } from "./window.ts";

export type Measuring = {
  now: () => number;
  /** No further width is begun after so long. */
  budgetMs: number;
  signal: AbortSignal;
};

const WINDOW_MS = 300;
const MIN_TOKENS = 4;
const MAX_TOKENS = 160;
/** A width is measured again when its window was too short, because answers may end at once. */
const MAX_TRIES = 3;
/** What still runs is cut after so many times the budget. */
const OVERTIME = 1.5;
/** Prefill is measured only when the first width took a smaller share of the budget than this. */
const PREFILL_SHARE = 0.3;
const PREFILL_MS = 500;
const PREFILL_TOKENS = 512;

export async function measure(backend: Backend, { now, budgetMs, signal }: Measuring): Promise<Measured> {
  const startedAt = now();
  const windows = new Windows(backend, now, startedAt + budgetMs * OVERTIME, signal);
  const spent = () => (now() - startedAt) / budgetMs;
  const { rates, leftOut, prefill } = await measureWidths(windows, backend.info.slots, spent);
  // Other work only makes a measurement slower, so each width is measured twice and the better rate counts.
  // Without a second look nobody could tell a quiet machine from a busy one, so it may take longer than the budget.
  const spreads: number[] = [];
  for (const width of rates.keys()) {
    const spread = spent() < OVERTIME ? await improve(windows, rates, width) : undefined;
    if (spread !== undefined) spreads.push(spread);
  }
  // A real cliff is still there at a third measurement.
  for (const width of cliffs(readingsOf(rates))) await improve(windows, rates, width);
  const tookMs = Math.round(now() - startedAt);
  const steady = isSteady(spreads, rates.size);
  const seenTwice = spreads.length;
  const how = { seenTwice, prefillTokensPerSecond: prefill, sampling: SAMPLING, tookMs };
  return { readings: readingsOf(rates), leftOut, steady, ...how };
}

/** Measures each width once. `spent` is the share of the budget that was used so far. */
async function measureWidths(windows: Windows, slots: number, spent: () => number) {
  const rates = new Map<number, number>();
  const leftOut: LeftOut[] = [];
  let prefill: number | null = null;
  /** Set once no further width can be measured. */
  let stop: Why | undefined;
  for (const width of WIDTHS) {
    if (width > slots) stop ??= { why: "memory" };
    if (spent() >= 1) stop ??= TIME_UP;
    const result = stop ?? (await rateAt(windows, width));
    if (typeof result === "number") rates.set(width, result);
    else leftOut.push({ width, ...result });
    // Where so many requests fail, more will fail too.
    if (typeof result !== "number" && result.why !== "ended") stop ??= result;
    if (width === 1 && spent() < PREFILL_SHARE) prefill = await windows.prefill().catch(() => null);
  }
  return { rates, leftOut, prefill };
}

/** Keeps the better rate, and returns the ratio of the two; undefined when the width could not be measured again. */
async function improve(
  windows: Windows,
  rates: Map<number, number>,
  width: number,
): Promise<number | undefined> {
  const before = rates.get(width)!;
  const again = await rateAt(windows, width);
  if (typeof again !== "number") return undefined;
  rates.set(width, Math.max(again, before));
  return Math.max(again, before) / Math.min(again, before);
}

const readingsOf = (rates: ReadonlyMap<number, number>): Reading[] =>
  Array.from(rates, ([width, tokensPerSecond]) => ({ width, tokensPerSecond }));

type Why = Omit<LeftOut, "width">;
const TIME_UP: Why = { why: "time" };

/** The rate of a window that was long enough, else the best of those that were not, else why there is none. */
async function rateAt(windows: Windows, width: number): Promise<number | Why> {
  let rate: number | undefined;
  try {
    for (let count = 0; count < MAX_TRIES && !windows.isLate; count++) {
      const { tokensPerSecond = 0, complete } = await windows.at(width);
      if (complete && tokensPerSecond > 0) return tokensPerSecond;
      if (tokensPerSecond > (rate ?? 0)) rate = tokensPerSecond;
    }
  } catch (thrown) {
    const words = thrown instanceof Error ? thrown.message : String(thrown);
    if (rate === undefined) return { why: "failed", words };
  }
  return rate ?? (windows.isLate ? TIME_UP : { why: "ended" });
}

/** Measurements of one backend. Each prompt is different, so that nothing of it is in the cache. */
class Windows {
  readonly #backend: Backend;
  readonly #now: () => number;
  readonly #deadline: number;
  readonly #signal: AbortSignal;
  #next = 101;

  constructor(backend: Backend, now: () => number, deadline: number, signal: AbortSignal) {
    this.#backend = backend;
    this.#now = now;
    this.#deadline = deadline;
    this.#signal = signal;
  }

  get isLate(): boolean {
    return this.#now() >= this.#deadline;
  }

  at(width: number): Promise<Window> {
    const texts = Array.from({ length: width }, () => countingPrompt(this.#number()));
    const limits = {
      windowMs: WINDOW_MS,
      minTokens: MIN_TOKENS,
      maxTokens: MAX_TOKENS,
      deadline: this.#deadline,
    };
    return measureWindow(this.#backend, texts, limits, this.#now, this.#signal);
  }

  /** Tokens a second. A short prompt shows how long the real one may be without taking too long. */
  async prefill(): Promise<number> {
    const numbers = 24;
    const short = await this.#read(numbers);
    const fits = Math.min(
      PREFILL_TOKENS,
      this.#backend.info.contextSize / 2,
      (short.rate * PREFILL_MS) / 1_000,
    );
    if (fits < 2 * short.tokens) return short.rate;
    const long = await this.#read(Math.floor((numbers * fits) / short.tokens));
    return Math.max(short.rate, long.rate);
  }

  async #read(numbers: number): Promise<{ tokens: number; rate: number }> {
    const prepared = await this.#backend.prepare(generationOf(countingPrompt(this.#number(), numbers), 1));
    const startedAt = this.#now();
    const { promptTokens, cachedTokens } = await prepared.run(() => false, this.#signal);
    const ms = Math.max(0.1, this.#now() - startedAt);
    return { tokens: promptTokens, rate: (1_000 * (promptTokens - cachedTokens)) / ms };
  }

  /** Far from the number before, so that the prompts differ from their first token. */
  #number(): number {
    this.#next = (this.#next * 7 + 1_013) % 9_973;
    return this.#next + 100;
  }
}
