// What llama-server sends while it answers, and what that means: tokens, how many were cached, how it ended. Pure.
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
/** Asked for by name, or its last message would hold the whole prompt. */
export const LAST_FIELDS = ["stop", "stop_type", "tokens_predicted", "timings"];

/** The JSON of one server-sent event; undefined for comments and for what is none. */
export function dataIn(block: string): unknown {
  const line = block.split("\n").find((one) => /^(data|error): /.test(one));
  if (line === undefined) return undefined;
  const text = line.slice(line.indexOf(": ") + 2);
  if (text === "[DONE]") return undefined;
  const data = JSON.parse(text);
  return line.startsWith("error") ? { error: data } : data;
}

/** One answer as it is heard. */
export class Stream {
  finish: Outcome["finish"] = "stop";
  cachedTokens = 0;
  completionTokens = 0;
  /** The tokens it consists of, as far as all of them were told. */
  readonly said: number[] = [];
  readonly #emit: Emit;
  readonly #top: number | undefined;
  // A token without text may be the answer's end, which is none of its tokens: the next event tells.
  #silent: Token[] = [];

  constructor(emit: Emit, topLogprobs: number | undefined) {
    this.#emit = emit;
    this.#top = topLogprobs;
  }

  /** False when no more is wanted. */
  hear(data: unknown): boolean {
    const event = data as Event;
    this.completionTokens = event.tokens_predicted ?? this.completionTokens;
    if (event.prompt_progress) {
      this.cachedTokens = event.prompt_progress.cache;
      return true;
    }
    if (event.stop) return this.#end(event);
    const [id] = event.tokens ?? [];
    // Tokens that are only together a character come as one event: what the slot holds is known up to there.
    if (id !== undefined && this.said.length === this.completionTokens - 1) this.said.push(id);
    return this.#tell({ text: event.content ?? "", ...this.#probabilities(event) });
  }

  #tell(token: Token): boolean {
    if (token.text === "") {
      this.#silent.push(token);
      return true;
    }
    return [...this.#silent.splice(0), token].every((one) => this.#emit(one));
  }

  #end({ stop_type }: Event): boolean {
    if (stop_type === "eos") this.#silent.pop();
    this.finish = stop_type === "limit" ? "length" : "stop";
    if (!this.#silent.splice(0).every((one) => this.#emit(one))) this.finish = "stop";
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
