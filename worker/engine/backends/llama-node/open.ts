// A model with a projector through @fugood/llama.node: it sees pictures and batches several requests by itself. Everything
// a request brings is checked before its native code sees it, because that code ends the process on what it does not expect.
import type { Backend, BackendInfo, BackendState, Generation, Prepared } from "../../generation/backend.ts";
import { invalid, roomFor } from "../../generation/backend.ts";
import { jsonGrammar } from "../../generation/json-schema-to-gbnf.ts";
import { checkProjector, type ModelFile, readModelFile } from "../../generation/model-file.ts";
import { NativePrompts } from "./chat-template.ts";
import { complete, needsWalk } from "./complete.ts";
import { Acceptor } from "./grammar-acceptor.ts";
import { Keeping } from "./keeping.ts";
import { loadLibrary, type NativeContext } from "./native.ts";
import { Runner } from "./runner.ts";
import { StateFiles } from "./state-files.ts";
import { walk } from "./walk.ts";

const MAX_CONTEXT = 8_192;
const BATCH = 512;

export type OpenOptions = {
  model: string;
  mmproj?: string | undefined;
  slots: number;
  contextSize?: number | undefined;
  threads?: number | undefined;
  /** where saved states may lie; the system's folder for what passes without it */
  folder?: string | undefined;
  /** of saved states */
  budgetBytes?: number | undefined;
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
  const info = { model: file.name, contextSize, slots, images: mmproj !== undefined };
  return new LlamaNodeBackend(info, context, file, new StateFiles(options.folder, options.budgetBytes));
}

class LlamaNodeBackend implements Backend {
  readonly info: BackendInfo;
  readonly #context: NativeContext;
  readonly #file: ModelFile;
  readonly #prompts: NativePrompts;
  readonly #files: StateFiles;
  readonly #runner: Runner;
  readonly #keeping: Keeping;
  #closed: Promise<void> | undefined;

  constructor(
    info: Omit<BackendInfo, "backend" | "thinks">,
    context: NativeContext,
    file: ModelFile,
    files: StateFiles,
  ) {
    this.#context = context;
    this.#file = file;
    this.#files = files;
    this.#prompts = new NativePrompts(context, file);
    this.#runner = new Runner(context, files, info.slots);
    this.#keeping = new Keeping(this.#runner, files);
    this.info = { ...info, backend: "llama-node", thinks: this.#prompts.thinking !== undefined };
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const { prompt: asked, schema, maxTokens, sampling } = generation;
    const grammar = schema === undefined ? undefined : jsonGrammar(schema);
    this.#refusePictures(generation);
    for (const id of sampling.logitBias.keys())
      if (id >= this.#file.vocabulary)
        throw invalid("logit_bias", `logit_bias: this model has no token ${id}.`);
    const prompt = await this.#prompts.make(asked);
    const room = roomFor(prompt.tokens, this.info.contextSize, maxTokens);
    const isOpen = "messages" in asked && asked.thinking === "open";
    const close = isOpen ? this.#prompts.thinking?.close : undefined;
    const isWalk = needsWalk(generation);
    const acceptor = isWalk && grammar !== undefined ? Acceptor.of(grammar) : undefined;
    const checked = { generation, prompt, room, grammar, close };
    const seen = this.#keeping.see(prompt);
    return {
      promptTokens: prompt.tokens,
      warmTokens: this.#keeping.warmth(prompt.sequence),
      run: async (emit, signal) => {
        const start = await this.#keeping.start(prompt, seen, signal);
        const request = { ...checked, ...this.#shared, start };
        try {
          if (!isWalk) return await complete(request, emit, signal);
          const { ends, vocabulary } = this.#file;
          return await walk({ ...request, ends, vocabulary, acceptor }, emit, signal);
        } finally {
          // Others may wait for what this one was to save.
          void start.save?.done();
        }
      },
    };
  }

  #refusePictures({ prompt }: Generation): void {
    if (this.info.images || "text" in prompt) return;
    if (prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image")))
      throw invalid("messages", "messages: this model reads no pictures.");
  }

  get #shared() {
    return { context: this.#context, runner: this.#runner, keeping: this.#keeping };
  }

  state(): BackendState {
    const slots = this.#runner.seats.all.map(({ state, tokens }) => ({ state, tokens }));
    const prefixes = { count: this.#files.all.length, bytes: this.#files.bytes };
    return { slots, prefixes, pictures: { ...this.#runner.pictures } };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#context.ctx.disableParallelMode();
    await this.#context.release();
    this.#files.close();
  }
}
