// A model with a projector through @fugood/llama.node: it sees pictures and batches several requests by itself. Everything
// a request brings is checked before its native code sees it, because that code ends the process on what it does not expect.
import type { Backend, BackendInfo, Emit, Generation, Outcome, Prepared } from "../../backend.ts";
import { jsonGrammar } from "../../json-grammar.ts";
import { invalid, roomFor } from "../../refuse.ts";
import { checkProjector, type ModelFile, readModelFile } from "./file.ts";
import { type CompletionOptions, loadLibrary, type NativeContext, UNFILTERED } from "./native.ts";
import { type NativePrompt, NativePrompts } from "./prompt.ts";
import { runOnce } from "./run.ts";
import { walk } from "./walk.ts";

const MAX_CONTEXT = 8_192;
const BATCH = 512;
const PENALTY_WINDOW = 64;

export type OpenOptions = {
  model: string;
  mmproj?: string | undefined;
  slots: number;
  contextSize?: number | undefined;
  threads?: number | undefined;
};

export async function openLlamaNode(options: OpenOptions): Promise<Backend> {
  const { model, mmproj, slots, threads } = options;
  const file = await readModelFile(model);
  if (mmproj !== undefined) await checkProjector(mmproj);
  const contextSize = options.contextSize ?? Math.min(file.trainContextSize, MAX_CONTEXT);
  const context = await loadLibrary().loadModel({
    model,
    n_ctx: contextSize * slots,
    n_parallel: slots,
    n_batch: BATCH,
    ctx_shift: false,
    swa_full: true,
    ...(threads === undefined ? {} : { n_threads: threads }),
  });
  if (mmproj !== undefined && !context.initMultimodal({ path: mmproj }))
    throw new Error("The projector does not fit the model.");
  if (!context.ctx.enableParallelMode({ n_parallel: slots, n_batch: BATCH }))
    throw new Error("The library refuses to batch this model.");
  const info: BackendInfo = {
    backend: "llama-node",
    model: file.name,
    contextSize,
    slots,
    images: mmproj !== undefined,
  };
  return new LlamaNodeBackend(info, context, file);
}

class LlamaNodeBackend implements Backend {
  readonly info: BackendInfo;
  readonly #context: NativeContext;
  readonly #prompts: NativePrompts;
  readonly #ends: ReadonlySet<number>;
  #closed: Promise<void> | undefined;

  constructor(info: BackendInfo, context: NativeContext, file: ModelFile) {
    this.info = info;
    this.#context = context;
    this.#prompts = new NativePrompts(context, file);
    this.#ends = file.ends;
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const { schema, topLogprobs, maxTokens } = generation;
    if (schema !== undefined && topLogprobs !== undefined)
      throw invalid(
        "logprobs",
        "logprobs: not together with a response_format on a model that sees pictures.",
      );
    const grammar = schema === undefined ? undefined : jsonGrammar(schema);
    this.#refusePictures(generation);
    const prompt = await this.#prompts.make(generation.prompt);
    const room = roomFor(prompt.tokens, this.info.contextSize, maxTokens);
    const context = this.#context;
    return {
      promptTokens: prompt.tokens,
      run: (emit, signal) =>
        topLogprobs === undefined
          ? this.#run(prompt, completionOf(generation, prompt, room, grammar), emit, signal)
          : walk({ context, prompt, generation, room, ends: this.#ends }, emit, signal),
    };
  }

  #refusePictures({ prompt }: Generation): void {
    if (this.info.images || "text" in prompt) return;
    if (prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image")))
      throw invalid("messages", "messages: this model reads no pictures.");
  }

  async #run(
    prompt: NativePrompt,
    options: CompletionOptions,
    emit: Emit,
    signal: AbortSignal,
  ): Promise<Outcome> {
    let wanted = true;
    // It stops by itself where no more is wanted: at a stop string, and where the grammar lets nothing follow.
    const onPiece = ({ token }: { token: string }) => {
      if (wanted) wanted = emit({ text: token });
    };
    const result = await runOnce(this.#context, options, onPiece, signal);
    return {
      finish: wanted && (result.stopped_limit || result.context_full) ? "length" : "stop",
      promptTokens: prompt.tokens,
      cachedTokens: result.timings.cache_n,
      completionTokens: result.tokens_evaluated,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#context.ctx.disableParallelMode();
    await this.#context.release();
  }
}

function completionOf(
  { sampling, stop }: Generation,
  { text, images, stop: ends }: NativePrompt,
  room: number,
  grammar: string | undefined,
): CompletionOptions {
  const { temperature, topK, topP, seed, repetitionPenalty } = sampling;
  const options: CompletionOptions = {
    ...UNFILTERED,
    prompt: text,
    stop: [...stop, ...ends],
    n_predict: room,
    temperature,
    // Greedy takes both: at temperature 0 alone the library still draws.
    top_k: temperature === 0 ? 1 : topK,
    top_p: topP,
    seed: seed % 2 ** 31,
    penalty_repeat: repetitionPenalty,
    penalty_last_n: repetitionPenalty === 1 ? 0 : PENALTY_WINDOW,
  };
  if (images.length > 0) options.media_paths = images;
  if (grammar !== undefined) options.grammar = grammar;
  return options;
}
