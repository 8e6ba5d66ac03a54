// An answer in one go, by the library's own batching: piece by piece as they come, up to where its thinking or it ends.
import { StopScanner } from "../../answer.ts";
import type { Emit, Generation, Outcome } from "../../backend.ts";
import { completionOf } from "./completion.ts";
import type { Keeping, Start } from "./keeping.ts";
import type { CompletionOptions, NativeContext, NativeResult } from "./native.ts";
import type { NativePrompt } from "./prompt.ts";
import type { Runner } from "./runner.ts";
import { type Sequence, sequenceOf } from "./sequence.ts";

/** A request that has been checked to the end. */
export type Checked = {
  generation: Generation;
  prompt: NativePrompt;
  room: number;
  grammar: string | undefined;
  /** the text that ends the answer besides its own stop strings, and is not part of it */
  close: string | undefined;
};
export type CompleteOptions = Checked & {
  context: NativeContext;
  runner: Runner;
  keeping: Keeping;
  start: Start;
};

export async function complete(request: CompleteOptions, emit: Emit, signal: AbortSignal): Promise<Outcome> {
  const { prompt, close, generation, start, runner, keeping } = request;
  const told = new Told(close, emit);
  const turn = generation.conversation === undefined ? undefined : keeping.turn();
  const options: CompletionOptions = completionOf(request);
  if (turn) options.save_state_path = turn.path;
  const { sequence } = prompt;
  // It stops by itself where no more is wanted: at a stop string, and where the grammar lets nothing follow.
  const onPiece = ({ token }: { token: string }) => told.hear(token);
  const result = await runner.run({ options, sequence, ...start, onPiece }, signal);
  const isStopped = told.end();
  await turn?.done(await withAnswer(request, result.text), generation.conversation!);
  return {
    finish: isStopped || !isCut(result) ? "stop" : "length",
    promptTokens: prompt.tokens,
    cachedTokens: result.timings.cache_n,
    completionTokens: result.tokens_evaluated,
  };
}

const isCut = ({ stopped_limit, context_full }: NativeResult) => stopped_limit || context_full;

/** What goes out: nothing of the mark that closes the thinking, nor what is not wanted any more. */
class Told {
  readonly #emit: Emit;
  readonly #scanner: StopScanner | undefined;
  #wanted = true;

  constructor(close: string | undefined, emit: Emit) {
    this.#emit = emit;
    this.#scanner = close === undefined ? undefined : new StopScanner([close]);
  }

  hear(piece: string): void {
    const text = this.#scanner ? this.#scanner.push(piece) : piece;
    if (this.#wanted && (text !== "" || !this.#scanner)) this.#wanted = this.#emit({ text });
  }

  /** Whether it ended before the library did. */
  end(): boolean {
    const rest = this.#scanner?.flush() ?? "";
    if (this.#wanted && rest !== "") this.#emit({ text: rest });
    return !this.#wanted || this.#scanner?.stopped === true;
  }
}

async function withAnswer({ context, prompt }: CompleteOptions, answer: string): Promise<Sequence> {
  const { tokens } = await context.tokenize(answer);
  return { ...prompt.sequence, places: sequenceOf([prompt.sequence.places, tokens]).places };
}
