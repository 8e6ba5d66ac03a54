// One answer of llama-server, read from its server-sent events: the tokens, how many of the prompt were cached, how it ended. Pure.
import { isUtf8 } from "node:buffer";
import type { Emit, Logprob, Outcome, Token } from "../../generation/backend.ts";

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

  constructor(emit: Emit, topLogprobs: number | undefined) {
    this.#emit = emit;
    this.#top = topLogprobs;
  }

  /** Takes one event. False when the answer is complete or no more of it is wanted. */
  push(data: unknown): boolean {
    const event = data as Event;
    this.completionTokens = event.tokens_predicted ?? this.completionTokens;
    if (event.prompt_progress) {
      this.cachedTokens = event.prompt_progress.cache;
      return true;
    }
    if (event.stop) return this.#end(event);
    const [id] = event.tokens ?? [];
    // Tokens that are one character together come as one event with one id. The ids are known up to there.
    if (id !== undefined && this.tokens.length === this.completionTokens - 1) this.tokens.push(id);
    return this.#emitInOrder({ text: event.content ?? "", ...this.#probabilities(event) });
  }

  #emitInOrder(token: Token): boolean {
    if (token.text === "") {
      this.#withoutText.push(token);
      return true;
    }
    return [...this.#withoutText.splice(0), token].every((one) => this.#emit(one));
  }

  #end({ stop_type }: Event): boolean {
    if (stop_type === "eos") this.#withoutText.pop();
    this.finish = stop_type === "limit" ? "length" : "stop";
    if (!this.#withoutText.splice(0).every((one) => this.#emit(one))) this.finish = "stop";
    return false;
  }

  #probabilities({ completion_probabilities: [own] = [] }: Event): Omit<Token, "text"> {
    if (own === undefined || this.#top === undefined) return {};
    const { text: _, ...known } = logprobOf(own);
    return { ...known, top: (own.top_logprobs ?? []).slice(0, this.#top).map(logprobOf) };
  }
}

function logprobOf({ token, bytes, logprob }: Probability): Logprob {
  if (bytes === undefined) return { text: token, logprob };
  const buffer = Buffer.from(bytes);
  return { text: buffer.toString("utf8"), ...(!isUtf8(buffer) && { bytes }), logprob };
}
