// One short measurement of a backend: a number of answers at once, and when each of their tokens came.
import { type Backend, type Generation, GREEDY, type Outcome } from "../generation/backend.ts";

export type Limits = {
  /** The window lasts so long, and longer until each answer has `minTokens`. */
  windowMs: number;
  minTokens: number;
  maxTokens: number;
  /** When all answers must have ended, on the same clock as `now`. */
  deadline: number;
};
export type Window = { tokensPerSecond: number | undefined; complete: boolean; tookMs: number };

/** Numbers to go on counting from: any model can do that for long. `from` makes prompts differ from their first token. */
export function countingPrompt(from: number, numbers = 6): string {
  return Array.from({ length: numbers }, (_, step) => `${from + step},`).join(" ");
}

/** As clients sample, which costs more than to take the likeliest token. Low, so that answers go on counting. */
const TEMPERATURE = 0.7;
export const SAMPLING = `temperature ${TEMPERATURE}`;

export function generationOf(text: string, maxTokens: number): Generation {
  return {
    prompt: { text },
    maxTokens,
    sampling: { ...GREEDY, temperature: TEMPERATURE },
    stop: [],
    schema: undefined,
    topLogprobs: undefined,
    conversation: undefined,
  };
}

/** Runs all prompts at once. The window opens when all of them decode, and closes when one ends or the time is up. */
export async function measureWindow(
  backend: Backend,
  texts: readonly string[],
  limits: Limits,
  now: () => number,
  signal: AbortSignal,
): Promise<Window> {
  const { maxTokens } = limits;
  const prepared = await Promise.all(texts.map((text) => backend.prepare(generationOf(text, maxTokens))));
  const startedAt = now();
  const tally = new Tally(prepared.length, limits, now);
  const runs = prepared.map(async ({ run }, index) => {
    try {
      return tally.perPiece(index, await run(() => tally.onToken(index), signal));
    } finally {
      // Once one has ended, not all of them decode any more.
      tally.over = true;
    }
  });
  const ended = await Promise.allSettled(runs);
  const perPiece = ended.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
  const rate = rateOf(tally.times);
  const tokensPerSecond = rate === undefined ? undefined : rate * mean(perPiece);
  return { tokensPerSecond, complete: tally.complete || tally.hasEnough(), tookMs: now() - startedAt };
}

/** Notes when each token came, and decides when the window is long enough. */
class Tally {
  readonly times: number[][];
  over = false;
  complete = false;
  readonly #limits: Limits;
  readonly #now: () => number;
  /** Since when all of them decode. */
  #openedAt: number | undefined;

  constructor(width: number, limits: Limits, now: () => number) {
    this.times = Array.from({ length: width }, () => []);
    this.#limits = limits;
    this.#now = now;
  }

  /** Returns whether another token is wanted. */
  onToken(index: number): boolean {
    const at = this.#now();
    this.times[index]!.push(at);
    if (this.#openedAt === undefined && this.times.every((answer) => answer.length > 0)) this.#openedAt = at;
    this.complete ||= at - (this.#openedAt ?? at) >= this.#limits.windowMs && this.hasEnough();
    this.over ||= this.complete || at >= this.#limits.deadline;
    return !this.over;
  }

  /** Whether each answer has enough tokens in the window. */
  hasEnough(): boolean {
    const from = this.#openedAt;
    if (from === undefined) return false;
    const counts = this.times.map((answer) => answer.length - answer.findLastIndex((at) => at < from) - 1);
    return Math.min(...counts) > this.#limits.minTokens;
  }

  /** Tokens for each piece of text. Nearly always one; the backend's own count shows where it is more. */
  perPiece(index: number, { completionTokens }: Outcome): number {
    const pieces = this.times[index]!.length;
    return pieces === 0 ? 1 : completionTokens / pieces;
  }
}

/** Some backends send tokens in bursts, so a shorter window shows nothing. */
const SHORTEST_MS = 50;

/**
 * Tokens a second of all answers together while all of them decode. Each answer is timed from its own first to its own last
 * token in the window, so that it does not matter where in a decode step the window opens.
 */
export function rateOf(times: readonly (readonly number[])[]): number | undefined {
  const from = Math.max(...times.map((answer) => answer[0] ?? Infinity));
  const to = Math.min(...times.map((answer) => answer.at(-1) ?? -Infinity));
  if (to - from < SHORTEST_MS) return undefined;
  const rates = times.map((answer) => {
    const inside = answer.filter((at) => at >= from && at <= to);
    const ms = inside.at(-1)! - inside[0]!;
    return inside.length < 2 || ms <= 0 ? undefined : (1_000 * (inside.length - 1)) / ms;
  });
  return rates.every((rate) => rate !== undefined) ? rates.reduce((sum, rate) => sum + rate, 0) : undefined;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
