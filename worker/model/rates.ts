// How fast the engine is for the jobs of this worker: the seconds that a token of a prompt and one of an answer take, measured from the
// worker's own requests. What counts is the time in which the engine had any of them, and not how long each one took: sixteen that run
// together share it. A beginning that was cached costs nothing, and is not counted.
import type { Clock } from "../async/clock.ts";
import type { Context } from "../job/handler.ts";
import type { AroundRequest, Measured } from "./model.ts";

/** One stretch of time in which the engine always had a request, and what it did in it. */
export type Stretch = { seconds: number; prompt: number; completion: number };
export type MeasuredRates = { model: string | null; stretches: readonly Stretch[] };

type Request = { from: number; to: number; prompt: number; completion: number };

/** The latest requests count. */
const REQUESTS = 256;
/** Of what an earlier process measured. */
const EARLIER = 32;
/**
 * Of a prompt's token to an answer's, in seconds. Requests that are all alike do not say it; with each that differs from them it counts
 * less. On the machines that were measured it is between a thirtieth and a third.
 */
const USUAL_RATIO = 0.1;
const WEIGHT_OF_USUAL = 0.005;

export class Rates {
  readonly #clock: Pick<Clock, "now">;
  #requests: Request[] = [];
  #earlier: readonly Stretch[];
  #model: string | null;

  constructor(clock: Pick<Clock, "now">, earlier: MeasuredRates = { model: null, stretches: [] }) {
    this.#clock = clock;
    this.#earlier = earlier.stretches.slice(-EARLIER);
    this.#model = earlier.model;
  }

  /** Measures each request besides. One that fails says nothing: nobody knows what the engine did for it. */
  around(inner: AroundRequest | undefined): AroundRequest {
    return async (request, about, send) => {
      const from = this.#clock.now();
      const answer = await (inner ? inner(request, about, send) : send(about.trace));
      this.#add(answer, from);
      return answer;
    };
  }

  /** As in `Context`. Null while nothing has been measured. */
  estimate: Context["estimate"] = ({ promptTokens, completionTokens }) => {
    const stretches = this.#stretches();
    const costs = costsOf(stretches);
    return costs && costs.prompt * promptTokens + costs.completion * completionTokens;
  };

  /** For the next process. */
  measured(): MeasuredRates {
    return { model: this.#model, stretches: this.#stretches().slice(-EARLIER) };
  }

  #add({ model, promptTokens, cachedTokens, completionTokens }: Measured, from: number): void {
    // Another model is another speed.
    if (model !== this.#model) [this.#requests, this.#earlier] = [[], []];
    this.#model = model;
    const prompt = Math.max(0, promptTokens - cachedTokens);
    // An engine that does not count says nothing.
    if (prompt + completionTokens <= 0) return;
    this.#requests.push({ from, to: this.#clock.now(), prompt, completion: completionTokens });
    if (this.#requests.length > REQUESTS) this.#requests.shift();
  }

  #stretches(): Stretch[] {
    // What is measured now takes the place of what an earlier process measured.
    const own = stretchesOf(this.#requests);
    return this.#requests.length >= REQUESTS / 4 ? own : [...this.#earlier, ...own];
  }
}

function stretchesOf(requests: readonly Request[]): Stretch[] {
  const all: (Stretch & { until: number })[] = [];
  for (const { from, to, prompt, completion } of requests.toSorted((a, b) => a.from - b.from)) {
    const last = all.at(-1);
    if (!last || from >= last.until) {
      all.push({ seconds: (to - from) / 1_000, prompt, completion, until: to });
      continue;
    }
    last.seconds += Math.max(0, to - last.until) / 1_000;
    last.prompt += prompt;
    last.completion += completion;
    last.until = Math.max(last.until, to);
  }
  return all.map(({ seconds, prompt, completion }) => ({ seconds, prompt, completion }));
}

/**
 * The costs of both kinds of tokens with which the stretches come out best: least squares, neither of them below 0, and drawn a little
 * to the usual ratio. What all stretches took together comes out exactly.
 */
function costsOf(stretches: readonly Stretch[]): { prompt: number; completion: number } | null {
  if (stretches.length === 0) return null;
  const sum = (of: (one: Stretch) => number) => stretches.reduce((all, one) => all + of(one), 0);
  // A longer stretch says more, and is further off.
  const weight = ({ seconds }: Stretch) => 1 / Math.max(seconds, 0.001);
  const [pp, pc, cc, pt, ct] = [
    sum((one) => weight(one) * one.prompt ** 2),
    sum((one) => weight(one) * one.prompt * one.completion),
    sum((one) => weight(one) * one.completion ** 2),
    sum((one) => weight(one) * one.prompt * one.seconds),
    sum((one) => weight(one) * one.completion * one.seconds),
  ];
  const usual = WEIGHT_OF_USUAL * (pp + cc);
  const [a, b, c] = [pp + usual, pc - usual * USUAL_RATIO, cc + usual * USUAL_RATIO ** 2];
  const determinant = a * c - b * b;
  const prompt = Math.max(0, (pt * c - ct * b) / determinant);
  const completion = Math.max(0, (ct * a - pt * b) / determinant);
  const explained = sum((one) => prompt * one.prompt + completion * one.completion);
  const scale = explained > 0 ? sum(({ seconds }) => seconds) / explained : 1;
  return { prompt: prompt * scale, completion: completion * scale };
}
