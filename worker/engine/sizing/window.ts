// One short look at a backend: so many answers at once, and when each of their tokens came. Knows nothing of other widths.
import { type Backend, type Generation, GREEDY, type Outcome } from "../generation/backend.ts";

export type Limits = {
  /** A window lasts so long, but has at least `minTokens` of each answer. */
  windowMs: number;
  minTokens: number;
  maxTokens: number;
  /** When all must be over, by the clock. */
  deadline: number;
};
export type Window = { tokensPerSecond: number | undefined; complete: boolean; tookMs: number };

/** Counting: any model can go on with it for long. `from` makes it different from its very first token. */
export function counting(from: number, numbers = 6): string {
  return Array.from({ length: numbers }, (_, step) => `${from + step},`).join(" ");
}

export function generationOf(text: string, maxTokens: number): Generation {
  return {
    prompt: { text },
    maxTokens,
    sampling: GREEDY,
    stop: [],
    schema: undefined,
    topLogprobs: undefined,
    conversation: undefined,
  };
}

/** Runs all texts at once, from the moment all of them decode until the first ends or the time is up. */
export async function lookAt(
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
      return tally.perPiece(index, await run(() => tally.hear(index), signal));
    } finally {
      // Where one has ended there is nothing more to see.
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

/** When each token came, and whether that is enough. */
class Tally {
  readonly times: number[][];
  over = false;
  complete = false;
  readonly #limits: Limits;
  readonly #now: () => number;
  /** since when all of them decode */
  #begunAt: number | undefined;

  constructor(width: number, limits: Limits, now: () => number) {
    this.times = Array.from({ length: width }, () => []);
    this.#limits = limits;
    this.#now = now;
  }

  /** Says whether another token is wanted. */
  hear(index: number): boolean {
    const at = this.#now();
    this.times[index]!.push(at);
    if (this.#begunAt === undefined && this.times.every((answer) => answer.length > 0)) this.#begunAt = at;
    this.complete ||= at - (this.#begunAt ?? at) >= this.#limits.windowMs && this.hasEnough();
    this.over ||= this.complete || at >= this.#limits.deadline;
    return !this.over;
  }

  /** Whether even the answer that has the fewest tokens has enough of them. */
  hasEnough(): boolean {
    const from = this.#begunAt;
    if (from === undefined) return false;
    const counts = this.times.map((answer) => answer.length - answer.findLastIndex((at) => at < from) - 1);
    return Math.min(...counts) > this.#limits.minTokens;
  }

  /** A piece of an answer is a token nearly always; where it is more, the backend's own count says so. */
  perPiece(index: number, { completionTokens }: Outcome): number {
    const pieces = this.times[index]!.length;
    return pieces === 0 ? 1 : completionTokens / pieces;
  }
}

/** Some backends hand tokens out in bursts: what is shorter says nothing. */
const SHORTEST_MS = 50;

/**
 * Tokens a second of all answers together while all of them decode. Each is timed between tokens of its own, so that nothing
 * depends on where in a step the window begins.
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
