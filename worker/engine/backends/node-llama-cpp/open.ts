// A text model through node-llama-cpp: loading, and from a checked request to a job of the lockstep loop.
import { basename } from "node:path";
import {
  getLlama,
  type LlamaContext,
  LlamaGrammarEvaluationState,
  LlamaLogLevel,
  type LlamaModel,
  type SequenceEvaluateOptions,
  type Token,
} from "node-llama-cpp";
import type { Logger } from "pino";
import type { Backend, BackendState, Emit, Generation, Outcome, Prepared } from "../../generation/backend.ts";
import { roomFor } from "../../generation/backend.ts";
import { partialCharacters } from "../../generation/token-bytes.ts";
import { bytesPerToken, SavedPrefixes } from "../../prefix-cache/saved-states.ts";
import { prefixFolderOf } from "../../prefix-cache/state-files.ts";
import { BatchLoop } from "./batch-loop.ts";
import { Prompts } from "./chat-template.ts";
import { Decoder } from "./decoder.ts";
import { GrammarState, Grammars } from "./grammar.ts";
import { PrefixSharing } from "./prefix-sharing.ts";
import { optionsOf, UNFILTERED } from "./sampler-options.ts";
import { Slot } from "./slot.ts";

const MAX_CONTEXT = 8_192;
const MIN_CONTEXT = 512;
const BATCH = 512;
/** Of a long prompt in one step, while others wait for their next token. */
const CHUNK = 256;

export type OpenOptions = {
  model: string;
  slots: number;
  contextSize?: number | undefined;
  batchSize?: number;
  gpu?: false;
  /** of the CPU; without it the library chooses */
  threads?: number | undefined;
  /** for prefixes that outlive this process; without it none does */
  prefixFolder?: string | undefined;
};

export async function openNodeLlamaCpp(options: OpenOptions, log: Logger): Promise<NodeLlamaCppBackend> {
  const llama = await getLlama({
    build: "never",
    gpu: options.gpu ?? "auto",
    progressLogs: false,
    logLevel: LlamaLogLevel.warn,
    logger: (level, message) =>
      log[level === LlamaLogLevel.error ? "error" : "debug"]({ native: message.trim() }),
    ...(options.threads === undefined ? {} : { maxThreads: options.threads }),
  });
  const model = await llama.loadModel({ modelPath: options.model });
  const context = await model.createContext({
    sequences: options.slots,
    // Chosen by hand it holds or loading fails; otherwise it shrinks to what the memory allows.
    contextSize: options.contextSize ?? {
      min: MIN_CONTEXT,
      max: Math.min(model.trainContextSize, MAX_CONTEXT),
    },
    batchSize: options.batchSize ?? BATCH,
    // Models with a sliding window could not take up a shared prefix again without it.
    swaFullCache: true,
  });
  const saved = new SavedPrefixes({
    bytesPerToken: bytesPerToken(model.fileInfo.architectureMetadata),
    folder: options.prefixFolder && (await prefixFolderOf(options.prefixFolder, options.model, context)),
  });
  return new NodeLlamaCppBackend({ options, model, context, saved, log });
}

type Loaded = {
  options: OpenOptions;
  model: LlamaModel;
  context: LlamaContext;
  saved: SavedPrefixes;
  log: Logger;
};

export class NodeLlamaCppBackend implements Backend {
  readonly info: Backend["info"];
  readonly lockstep: BatchLoop;
  readonly context: LlamaContext;
  readonly #model: LlamaModel;
  readonly #prompts: Prompts;
  readonly #grammars: Grammars;
  readonly #saved: SavedPrefixes;
  readonly #partialCharacters: ReadonlyMap<number, number[]>;
  #closed: Promise<void> | undefined;

  constructor({ options, model, context, saved, log }: Loaded) {
    this.context = context;
    this.#model = model;
    this.#prompts = new Prompts(model);
    this.#partialCharacters = partialCharacters(model.fileInfo.metadata.tokenizer?.ggml ?? {});
    this.#grammars = new Grammars(model.llama);
    this.#saved = saved;
    const { contextSize, batchSize } = context;
    this.info = {
      backend: "node-llama-cpp",
      model: model.fileInfo.metadata.general?.name || basename(options.model, ".gguf"),
      contextSize,
      slots: options.slots,
      images: false,
      thinks: this.#prompts.thinking !== undefined,
      unsupported: [],
    };
    const slots = Array.from({ length: options.slots }, () => new Slot(context.getSequence()));
    const sharing = new PrefixSharing({ slots, saved, lasting: options.prefixFolder !== undefined, log });
    this.lockstep = new BatchLoop({ slots, sharing, batchSize, chunk: Math.min(CHUNK, batchSize) });
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const prompt = this.#prompts.tokenize(generation.prompt);
    const room = roomFor(prompt.length, this.info.contextSize, generation.maxTokens);
    const options = optionsOf(generation.sampling, this.#model);
    const follow = await this.#grammar(generation);
    return {
      promptTokens: prompt.length,
      warmTokens: () => this.lockstep.warmTokens(prompt),
      run: (emit, signal) => this.#run({ generation, prompt, room, options, ...follow }, emit, signal),
    };
  }

  state(): BackendState {
    return {
      slots: this.lockstep.slots(),
      steps: this.lockstep.steps,
      prefixes: { count: this.#saved.all.size, bytes: this.#saved.bytes },
    };
  }

  /** With probabilities the grammar is ours to follow, without them the library's. */
  async #grammar({ schema, topLogprobs }: Generation): Promise<Pick<Ready, "ours" | "library">> {
    if (schema === undefined) return {};
    const grammar = await this.#grammars.for(schema);
    if (topLogprobs !== undefined) return { ours: new GrammarState(this.#model, grammar) };
    return { library: new LlamaGrammarEvaluationState({ model: this.#model, grammar }) };
  }

  async #run(ready: Ready, emit: Emit, signal: AbortSignal): Promise<Outcome> {
    const { generation, prompt, room, ours, library } = ready;
    const talk = new Decoder({
      model: this.#model,
      prompt,
      generation,
      room,
      grammar: ours,
      close: this.#closeOf(generation),
      partialCharacters: this.#partialCharacters,
      emit,
    });
    const probabilities = generation.topLogprobs !== undefined;
    const options = probabilities ? UNFILTERED : ready.options(talk.said);
    if (library) options.grammarEvaluationState = library;
    const cachedTokens = await new Promise<number>((done, failed) => {
      const hear = talk.hear.bind(talk);
      const { conversation } = generation;
      this.lockstep.submit({ prompt, options, probabilities, conversation, hear, signal, done, failed });
    });
    const { finish, completionTokens } = talk;
    return { finish, promptTokens: prompt.length, cachedTokens, completionTokens };
  }

  #closeOf({ prompt }: Generation): string | undefined {
    return "messages" in prompt && prompt.thinking === "open" ? this.#prompts.thinking?.close : undefined;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.lockstep.close();
    await this.#saved.close();
    await this.#model.dispose();
    await this.#model.llama.dispose();
  }
}

type Ready = {
  generation: Generation;
  prompt: Token[];
  room: number;
  options(said: readonly Token[]): SequenceEvaluateOptions;
  ours?: GrammarState;
  library?: LlamaGrammarEvaluationState;
};
