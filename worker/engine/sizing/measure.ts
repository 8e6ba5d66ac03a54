// Measures a backend at one width after the other in a few seconds. How one width is looked at is in window.ts, what follows
// from the numbers in choose.ts.
import type { Backend } from "../generation/backend.ts";
import { falls, isSteady, type LeftOut, type Measured, type Reading, WIDTHS } from "./choose.ts";
import { counting, generationOf, lookAt, type Window } from "./window.ts";

export type Measuring = {
  now: () => number;
  /** No width is begun after it. */
  budgetMs: number;
  signal: AbortSignal;
};

const WINDOW_MS = 300;
const MIN_TOKENS = 4;
const MAX_TOKENS = 160;
/** Looks at a width until one is long enough: answers may end at once. */
const MOST_LOOKS = 3;
/** Whatever runs when the budget is used up may go on for so much of it. */
const OVERTIME = 1.5;
/** Reading prompts is looked at only where the first width took no more of the time than this. */
const PREFILL_SHARE = 0.3;
const PREFILL_MS = 500;
const PREFILL_TOKENS = 512;

export async function measure(backend: Backend, { now, budgetMs, signal }: Measuring): Promise<Measured> {
  const startedAt = now();
  const looks = new Looks(backend, now, startedAt + budgetMs * OVERTIME, signal);
  const spent = () => (now() - startedAt) / budgetMs;
  const rates = new Map<number, number>();
  const leftOut: LeftOut[] = [];
  let prefill: number | null = null;
  let stop: Why | undefined;
  for (const width of WIDTHS) {
    if (width > backend.info.slots) stop ??= { why: "memory" };
    if (spent() >= 1) stop ??= TIME_UP;
    const seen = stop ?? (await rateAt(looks, width));
    if (typeof seen === "number") rates.set(width, seen);
    else leftOut.push({ width, ...seen });
    // Where so many at once fail, more will too.
    if (typeof seen !== "number" && seen.why !== "ended") stop ??= seen;
    if (width === 1 && spent() < PREFILL_SHARE) prefill = await looks.prefill().catch(() => null);
  }
  // What disturbed one width then hardly disturbs it again: the better of two times counts.
  const spreads: number[] = [];
  for (const width of rates.keys()) if (spent() < 1) spreads.push(await improve(looks, rates, width));
  // A cliff is still there at a third time.
  for (const width of falls(readingsOf(rates))) await improve(looks, rates, width);
  const tookMs = Math.round(now() - startedAt);
  const steady = isSteady(spreads);
  return { readings: readingsOf(rates), leftOut, steady, prefillTokensPerSecond: prefill, tookMs };
}

/** Keeps the better rate, and says how far the two are apart. */
async function improve(looks: Looks, rates: Map<number, number>, width: number): Promise<number> {
  const before = rates.get(width)!;
  const again = await rateAt(looks, width);
  if (typeof again !== "number") return 1;
  rates.set(width, Math.max(again, before));
  return Math.max(again, before) / Math.min(again, before);
}

const readingsOf = (rates: ReadonlyMap<number, number>): Reading[] =>
  Array.from(rates, ([width, tokensPerSecond]) => ({ width, tokensPerSecond }));

type Why = Omit<LeftOut, "width">;
const TIME_UP: Why = { why: "time" };

/** The rate of one look that was long enough, or the best of some that were not, or why there is none. */
async function rateAt(looks: Looks, width: number): Promise<number | Why> {
  let rate: number | undefined;
  try {
    for (let count = 0; count < MOST_LOOKS && !looks.isLate; count++) {
      const { tokensPerSecond = 0, complete } = await looks.at(width);
      if (complete && tokensPerSecond > 0) return tokensPerSecond;
      if (tokensPerSecond > (rate ?? 0)) rate = tokensPerSecond;
    }
  } catch (thrown) {
    const words = thrown instanceof Error ? thrown.message : String(thrown);
    if (rate === undefined) return { why: "failed", words };
  }
  return rate ?? (looks.isLate ? TIME_UP : { why: "ended" });
}

/** Looks at one backend; no two of them see the same text. */
class Looks {
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
    const texts = Array.from({ length: width }, () => counting(this.#number()));
    const limits = {
      windowMs: WINDOW_MS,
      minTokens: MIN_TOKENS,
      maxTokens: MAX_TOKENS,
      deadline: this.#deadline,
    };
    return lookAt(this.#backend, texts, limits, this.#now, this.#signal);
  }

  /** A short prompt says how long a longer one may be, so that it takes no longer than it should. */
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
    const prepared = await this.#backend.prepare(generationOf(counting(this.#number(), numbers), 1));
    const startedAt = this.#now();
    const { promptTokens, cachedTokens } = await prepared.run(() => false, this.#signal);
    const ms = Math.max(0.1, this.#now() - startedAt);
    return { tokens: promptTokens, rate: (1_000 * (promptTokens - cachedTokens)) / ms };
  }

  /** Far from the one before, and with another first digit. */
  #number(): number {
    this.#next = (this.#next * 7 + 1_013) % 9_973;
    return this.#next + 100;
  }
}
