// What a server answers, streams and whole answers: all figures about tokens are its own `usage`.
import { performance } from "node:perf_hooks";

export type Answer = {
  startedMs: number;
  /** Of the first piece of text; undefined when the answer came whole. */
  firstMs: number | undefined;
  endedMs: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  failure?: string;
};

type Heard = {
  choices?: { text?: string; delta?: { content?: string | null } }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
  error?: { message?: string };
};

/** Puts one answer together from what comes over the wire. */
export class AnswerReader {
  readonly #startedMs: number;
  readonly #now: () => number;
  #rest = "";
  #firstMs: number | undefined;
  #usage: Heard["usage"];
  #failure: string | undefined;

  constructor(startedMs: number, now: () => number = () => performance.now()) {
    this.#startedMs = startedMs;
    this.#now = now;
  }

  /** A piece of a stream of server-sent events, cut anywhere. */
  push(piece: string): void {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines)
      if (line.startsWith("data:") && !line.includes("[DONE]")) this.#event(JSON.parse(line.slice(5)));
  }

  #event(event: Heard): void {
    const [choice] = event.choices ?? [];
    if (choice?.text || choice?.delta?.content) this.#firstMs ??= this.#now();
    this.hear(event);
  }

  hear({ usage, error }: Heard): void {
    if (usage) this.#usage = usage;
    if (error) this.fail(error.message ?? "an error without words");
  }

  fail(failure: string): void {
    this.#failure ??= failure;
  }

  answer(endedMs: number): Answer {
    const failure = this.#failure ?? (this.#usage ? undefined : "the answer has no usage");
    return {
      startedMs: this.#startedMs,
      firstMs: this.#firstMs,
      endedMs,
      promptTokens: this.#usage?.prompt_tokens ?? 0,
      cachedTokens: this.#usage?.prompt_tokens_details?.cached_tokens ?? 0,
      completionTokens: this.#usage?.completion_tokens ?? 0,
      ...(failure !== undefined && { failure }),
    };
  }
}
