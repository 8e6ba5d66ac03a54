// One answer of llama-server, read from its server-sent events: the tokens, how many of the prompt were cached, how it ended. Pure.
import type { Emit, Outcome, Token } from "../../generation/backend.ts";
import { logprobOf, type Piece } from "./joined-tokens.ts";

type Probability = { token: string; bytes?: number[]; logprob: number };
type Event = {
  content?: string;
  tokens?: number[];
  tokens_predicted?: number;
  stop?: boolean;
  stop_type?: "eos" | "word" | "limit" | "none";
  prompt_progress?: { cache: number };
  completion_probabilities?: (Probability & { top_logprobs?: Probability[] })[];
};
/** The fields of the last event. Without this list it would contain the whole prompt. */
export const LAST_FIELDS = ["stop", "stop_type", "tokens_predicted", "timings"];

/** The JSON of one server-sent event. Undefined for comments and other lines. */
export function dataIn(block: string): unknown {
  const line = block.split("\n").find((one) => /^(data|error): /.test(one));
  if (line === undefined) return undefined;
  const text = line.slice(line.indexOf(": ") + 2);
  if (text === "[DONE]") return undefined;
  const data = JSON.parse(text);
  return line.startsWith("error") ? { error: data } : data;
}

export class Stream {
  finish: Outcome["finish"] = "stop";
  cachedTokens = 0;
  completionTokens = 0;
  /** The ids of the answer's tokens, up to the first one that the server did not report. */
  readonly tokens: number[] = [];
  readonly #emit: Emit;
  readonly #top: number | undefined;
  // A token without text may be the end of the answer, which is not part of it. The next event tells.
  #withoutText: Token[] = [];
  /** From the first event on that reports several tokens, where these are to be told apart. They wait for `release`. */
  readonly held: Piece[] = [];
  readonly #splits: boolean;
  readonly #stop: readonly string[];
  #stopType: Event["stop_type"];

  /** `splits`: tokens that come as one are held back, to be told apart. `stop`: what is held back ends at one of these. */
  constructor(emit: Emit, topLogprobs: number | undefined, splits = false, stop: readonly string[] = []) {
    this.#emit = emit;
    this.#top = topLogprobs;
    this.#splits = splits;
    this.#stop = stop;
  }

  /** Takes one event. False when the answer is complete or no more of it is wanted. */
  push(data: unknown): boolean {
    const event = data as Event;
    const count = (event.tokens_predicted ?? this.completionTokens) - this.completionTokens;
    this.completionTokens += count;
    if (event.prompt_progress) {
      this.cachedTokens = event.prompt_progress.cache;
      return true;
    }
    const [id] = event.tokens ?? [];
    if (event.stop) return this.#end(event, count);
    // Tokens that are one character together come as one event with one id. The ids are known up to there.
    if (id !== undefined && this.tokens.length === this.completionTokens - 1) this.tokens.push(id);
    const token = { text: event.content ?? "", ...this.#probabilities(event) };
    if (this.#splits && (count > 1 || this.held.length > 0)) return this.#hold({ token, id, count });
    return this.#emitInOrder(token);
  }

  #hold(piece: Piece): boolean {
    this.held.push(piece);
    const text = this.held.map(({ token }) => token.text).join("");
    return !this.#stop.some((one) => text.includes(one));
  }

  /** What was held back, told apart. */
  release(tokens: readonly Token[]): void {
    if (tokens.every((one) => this.#emitInOrder(one))) this.#finish();
    else this.finish = "stop";
  }

  #emitInOrder(token: Token): boolean {
    if (token.text === "") {
      this.#withoutText.push(token);
      return true;
    }
    return [...this.#withoutText.splice(0), token].every((one) => this.#emit(one));
  }

  #end({ stop_type }: Event, count: number): boolean {
    this.#stopType = stop_type;
    // Tokens that are no whole character yet are counted and never reported.
    if (this.#splits && count > 0 && stop_type === "limit")
      this.held.push({ token: { text: "" }, id: undefined, count });
    if (this.held.length === 0) this.#finish();
    return false;
  }

  #finish(): void {
    if (this.#stopType === "eos") this.#withoutText.pop();
    this.finish = this.#stopType === "limit" ? "length" : "stop";
    if (!this.#withoutText.splice(0).every((one) => this.#emit(one))) this.finish = "stop";
  }

  #probabilities({ completion_probabilities: [own] = [] }: Event): Omit<Token, "text"> {
    if (own === undefined || this.#top === undefined) return {};
    const { text: _, ...known } = logprobOf(own);
    return { ...known, top: (own.top_logprobs ?? []).slice(0, this.#top).map(logprobOf) };
  }
}
