// A model on @fugood/llama.node, which sees pictures, batches by itself and needs no build: the default for a model with a
// projector where no llama-server is installed. Everything in a request is checked here before the library sees it, because
// its native code ends the process on input that it does not expect. What the library cannot do is refused by field.
import type { Backend, BackendInfo, BackendState, Generation, Prepared } from "../../generation/backend.ts";
import { invalid, roomFor } from "../../generation/backend.ts";
import type { NamedTemplate } from "../../generation/chat-template.ts";
import { grammarFor } from "../../generation/json-schema-to-gbnf.ts";
import { type ModelFile, readModelFile } from "../../generation/model-file.ts";
import { projectorRefused } from "../../load-failure.ts";
import { NativePrompts } from "./chat-template.ts";
import { type Checked, complete, completeFirstToken, type Vocabulary } from "./complete.ts";
import { loadLibrary, type NativeContext } from "./native.ts";
import { Runner } from "./runner.ts";

const MAX_CONTEXT = 8_192;
const BATCH = 512;

export type OpenOptions = {
  model: string;
  mmproj?: string | undefined;
  slots: number;
  contextSize?: number | undefined;
  threads?: number | undefined;
  /** in place of the file's own */
  template?: NamedTemplate | undefined;
};

export async function openLlamaNode(options: OpenOptions): Promise<Backend> {
  const { model, mmproj, slots, threads } = options;
  const file = await readModelFile(model, options.template);
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
    throw projectorRefused("it does not fit the model");
  if (!context.ctx.enableParallelMode({ n_parallel: slots, n_batch: BATCH }))
    throw new Error("The library cannot run this model in batches.");
  const prompts = new NativePrompts(context, file);
  await prompts.findCallFormat();
  return new LlamaNodeBackend(
    { contextSize, slots, images: mmproj !== undefined },
    { context, file, prompts },
  );
}

/** What `refuse` refuses, as /v1/models shows it. */
const UNSUPPORTED = [
  "logit_bias",
  "logprobs past the first token",
  "logprobs with response_format",
  "frequency_penalty with pictures",
  "presence_penalty with pictures",
];

class LlamaNodeBackend implements Backend {
  readonly info: BackendInfo;
  readonly #context: NativeContext;
  readonly #prompts: NativePrompts;
  readonly #runner: Runner;
  readonly #vocabulary: Vocabulary;
  #closed: Promise<void> | undefined;

  constructor(
    shape: Pick<BackendInfo, "contextSize" | "slots" | "images">,
    { context, file, prompts }: { context: NativeContext; file: ModelFile; prompts: NativePrompts },
  ) {
    this.#context = context;
    this.#prompts = prompts;
    this.#runner = new Runner(context, { n_parallel: shape.slots, n_batch: BATCH });
    this.#vocabulary = vocabularyOf(context, file);
    const thinks = this.#prompts.thinking !== undefined;
    this.info = { ...shape, backend: "llama-node", ...file.identity, thinks, unsupported: UNSUPPORTED };
  }

  get calls() {
    return this.#prompts.calls;
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const { prompt: asked, maxTokens, topLogprobs } = generation;
    const grammar = grammarFor(generation);
    refuse(generation, this.info);
    const prompt = await this.#prompts.make(asked);
    const room = roomFor(prompt.tokens, this.info.contextSize, maxTokens);
    const isThinking = "messages" in asked && asked.thinking === "open";
    const close = isThinking ? this.#prompts.thinking?.close : undefined;
    const checked: Checked = { generation, prompt, room, grammar, close };
    const [runner, vocabulary] = [this.#runner, this.#vocabulary];
    return {
      promptTokens: prompt.tokens,
      warmTokens: () => runner.slots.warmTokens(prompt),
      run: (emit, signal) =>
        topLogprobs === undefined
          ? complete(checked, runner, emit, signal)
          : completeFirstToken(checked, { runner, vocabulary }, emit, signal),
    };
  }

  state(): BackendState {
    const slots = this.#runner.slots.all.map(({ state, tokens }) => ({ state, tokens }));
    return { slots, prefixes: { count: 0, bytes: 0 }, pictures: { ...this.#runner.pictures } };
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

/** Throws for what the library cannot do, or cannot do correctly. */
function refuse(
  { prompt, schema, maxTokens, topLogprobs, sampling }: Generation,
  { images }: BackendInfo,
): void {
  const hasPictures =
    "messages" in prompt && prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image"));
  if (hasPictures && !images) throw invalid("messages", "messages: this model reads no pictures.");
  if (sampling.logitBias.size > 0) throw unsupported("logit_bias");
  if (topLogprobs !== undefined && schema !== undefined)
    throw unsupported("logprobs", "together with response_format");
  if (topLogprobs !== undefined && maxTokens !== 1)
    throw unsupported("logprobs", "past the first token: set max_tokens to 1");
  // With pictures the library counts the tokens of the prompt too, which these two penalties must not.
  if (hasPictures && sampling.frequencyPenalty !== 0) throw unsupported("frequency_penalty", "with pictures");
  if (hasPictures && sampling.presencePenalty !== 0) throw unsupported("presence_penalty", "with pictures");
}

const unsupported = (field: string, when = "") =>
  invalid(
    field,
    `${field}: the llama-node backend does not support it${when && ` ${when}`}. llama-server does.`,
  );

function vocabularyOf(context: NativeContext, { ends, partialCharacters }: ModelFile): Vocabulary {
  return {
    ends,
    named: async (token) => {
      const bytes = partialCharacters.get(token);
      return { text: await context.detokenize([token]), ...(bytes && { bytes }) };
    },
  };
}
