// What one job has used of the engine, summed over all its questions: the model's half of the receipt.
import type { Receipt } from "../job/result.ts";
import type { ChatAnswer } from "./engine-answer.ts";

export type Usage = Pick<
  Receipt,
  "model" | "engine" | "promptTokens" | "cachedTokens" | "completionTokens" | "inferenceMs" | "repairs"
>;

export class Meter {
  readonly #now: () => number;
  #firstAsked: number | null = null;
  #lastAnswered = 0;
  readonly #usage: Usage = {
    model: null,
    engine: null,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    inferenceMs: 0,
    repairs: 0,
  };

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  asked(): void {
    this.#firstAsked ??= this.#now();
  }

  answered(answer: ChatAnswer, engine: string | null, askedFor: string | null): void {
    this.#lastAnswered = this.#now();
    this.#usage.model = answer.model ?? askedFor;
    this.#usage.engine = engine;
    this.#usage.promptTokens += answer.promptTokens;
    this.#usage.cachedTokens += answer.cachedTokens;
    this.#usage.completionTokens += answer.completionTokens;
  }

  repaired(): void {
    this.#usage.repairs += 1;
  }

  /** From the first question to the last answer; questions may overlap, so their times are not summed. */
  used(): Usage {
    const inferenceMs =
      this.#firstAsked === null ? 0 : Math.max(0, Math.round(this.#lastAnswered - this.#firstAsked));
    return { ...this.#usage, inferenceMs };
  }
}
