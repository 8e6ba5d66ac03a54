// A text model on node-llama-cpp: loads it, checks requests, and passes each to the batch loop.
import {
  getLlama,
  getModuleVersion,
  type Llama,
  type LlamaContext,
  LlamaGrammarEvaluationState,
  LlamaLogLevel,
  type LlamaModel,
  type SequenceEvaluateOptions,
  type Token,
} from "node-llama-cpp";
import type { Logger } from "pino";
import type { AnswerPlace } from "../../generation/allowed-tokens.ts";
import type { Backend, BackendState, Emit, Generation, Outcome, Prepared } from "../../generation/backend.ts";
import { roomFor } from "../../generation/backend.ts";
import type { ChatTemplate, NamedTemplate } from "../../generation/chat-template.ts";
import { grammarFor } from "../../generation/json-schema-to-gbnf.ts";
import { identityOf } from "../../generation/model-file.ts";
import { partialCharacters } from "../../generation/token-bytes.ts";
import { type TokenTexts, tokenTextsOf } from "../../generation/token-texts.ts";
import { bytesPerToken, SavedStates } from "../../prefix-cache/saved-states.ts";
import { stateFolderOf } from "../../prefix-cache/state-files.ts";
import { BatchLoop } from "./batch-loop.ts";
import { Prompts, templateOf } from "./chat-template.ts";
import { Decoder, samplingOptions, UNFILTERED } from "./decoder.ts";
import { GrammarState, Grammars } from "./grammar.ts";
import { PrefixSharing } from "./prefix-sharing.ts";
import { Slot, type SlotRequest } from "./slot.ts";

const MAX_CONTEXT = 8_192;
const MIN_CONTEXT = 512;
const BATCH = 512;
/** Tokens of prompts in one step while others wait for their next token. */
const CHUNK = 256;

export type OpenOptions = {
  model: string;
  slots: number;
  contextSize?: number | undefined;
  batchSize?: number;
  gpu?: false;
  /** CPU threads; without it the library chooses */
  threads?: number | undefined;
  /** for saved prefixes that outlive this process; without it there are none */
  prefixFolder?: string | undefined;
  /** in place of the file's own */
  template?: NamedTemplate | undefined;
  /** Loaded already. Before each load on Linux, a process tries the library. */
  llama?: Llama;
  /** Whether it is closed with the backend. [only if it was not loaded already] */
  ownsLibrary?: boolean;
};

export async function openNodeLlamaCpp(options: OpenOptions, log: Logger): Promise<NodeLlamaCppBackend> {
  const llama = options.llama ?? (await openLibrary(options, log));
  const model = await llama.loadModel({ modelPath: options.model });
  const context = await model.createContext({
    sequences: options.slots,
    // A size that was chosen by hand is kept or loading fails. Otherwise it shrinks to what the memory allows.
    contextSize: options.contextSize ?? {
      min: MIN_CONTEXT,
      max: Math.min(model.trainContextSize, MAX_CONTEXT),
    },
    batchSize: options.batchSize ?? BATCH,
    // Without it models with a sliding window could not reuse a prefix.
    swaFullCache: true,
  });
  const saved = new SavedStates({
    bytesPerToken: bytesPerToken(model.fileInfo.architectureMetadata),
    lastingFolder: options.prefixFolder && (await folderFor(options.prefixFolder, options.model, context)),
    onUnusable: (err) => log.warn({ err }, "prefixes of prompts cannot be kept for later starts"),
  });
  const template = templateOf(model, options.template);
  const prompts = new Prompts(model, template.source);
  await prompts.findCallFormat();
  return new NodeLlamaCppBackend({ options, model, template, prompts, context, saved, log });
}

/** It takes as long to load as a small model. */
export const openLibrary = (
  { gpu = "auto", threads }: { gpu?: false | "auto"; threads?: number | undefined },
  log: Logger,
) =>
  getLlama({
    build: "never",
    gpu,
    progressLogs: false,
    logLevel: LlamaLogLevel.warn,
    logger: (level, message) =>
      log[level === LlamaLogLevel.error ? "error" : "debug"]({ native: message.trim() }),
    ...(threads === undefined ? {} : { maxThreads: threads }),
  });

async function folderFor(parent: string, model: string, context: LlamaContext): Promise<string> {
  const { kvCacheKeyType, kvCacheValueType, flashAttention } = context;
  const cache = [kvCacheKeyType, kvCacheValueType, flashAttention];
  return stateFolderOf(parent, model, { version: await getModuleVersion(), cache });
}

type Loaded = {
  options: OpenOptions;
  model: LlamaModel;
  template: ChatTemplate;
  prompts: Prompts;
  context: LlamaContext;
  saved: SavedStates;
  log: Logger;
};

export class NodeLlamaCppBackend implements Backend {
  readonly info: Backend["info"];
  readonly batchLoop: BatchLoop;
  readonly context: LlamaContext;
  readonly #model: LlamaModel;
  readonly #prompts: Prompts;
  readonly #grammars: Grammars;
  readonly #saved: SavedStates;
  readonly #ownsLibrary: boolean;
  readonly #partialCharacters: ReadonlyMap<number, number[]>;
  /** Read when the first grammar is made. */
  #texts: TokenTexts | undefined;
  #closed: Promise<void> | undefined;

  constructor({ options, model, template, prompts, context, saved, log }: Loaded) {
    this.context = context;
    this.#ownsLibrary = options.ownsLibrary ?? options.llama === undefined;
    this.#model = model;
    this.#prompts = prompts;
    this.#partialCharacters = partialCharacters(model.fileInfo.metadata.tokenizer?.ggml ?? {});
    this.#grammars = new Grammars(model.llama, () => (this.#texts ??= textsOf(model)));
    this.#saved = saved;
    const { contextSize, batchSize } = context;
    this.info = {
      backend: "node-llama-cpp",
      ...identityOf(options.model, model.fileInfo.metadata, template),
      contextSize,
      slots: options.slots,
      images: false,
      thinks: this.#prompts.thinking !== undefined,
      unsupported: [],
    };
    const slots = Array.from({ length: options.slots }, () => new Slot(context.getSequence()));
    const sharing = new PrefixSharing({ slots, saved, lasting: saved.keepsLasting, log });
    this.batchLoop = new BatchLoop({ slots, sharing, batchSize, chunk: Math.min(CHUNK, batchSize) });
  }

  get calls() {
    return this.#prompts.calls;
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const prompt = this.#prompts.tokenize(generation.prompt);
    const room = roomFor(prompt.length, this.info.contextSize, generation.maxTokens);
    const options = samplingOptions(generation.sampling, this.#model);
    const follow = await this.#grammar(generation);
    return {
      promptTokens: prompt.length,
      warmTokens: () => this.batchLoop.warmTokens(prompt),
      run: (emit, signal) => this.#run({ generation, prompt, room, options, ...follow }, emit, signal),
    };
  }

  state(): BackendState {
    return {
      slots: this.batchLoop.slots(),
      steps: this.batchLoop.steps,
      prefixes: { count: this.#saved.all.size, bytes: this.#saved.bytes },
    };
  }

  /** With probabilities the decoder follows the grammar, without them the library does. */
  async #grammar(generation: Generation): Promise<Follow> {
    const { topLogprobs, sampling } = generation;
    const text = grammarFor(generation);
    if (text === undefined) return {};
    const { grammar, allowed } = await this.#grammars.for(text);
    if (topLogprobs !== undefined) return { grammar: new GrammarState(this.#model, grammar) };
    const libraryGrammar = new LlamaGrammarEvaluationState({ model: this.#model, grammar });
    // The repetition penalty divides logits, so it would not leave a bias as it is.
    return sampling.repetitionPenalty === 1
      ? { libraryGrammar, place: allowed?.start() }
      : { libraryGrammar };
  }

  async #run(checked: Checked, emit: Emit, signal: AbortSignal): Promise<Outcome> {
    const { generation, prompt, room, grammar, libraryGrammar, place } = checked;
    const decoder = new Decoder({
      model: this.#model,
      prompt,
      generation,
      room,
      grammar,
      close: this.#closeOf(generation),
      partialCharacters: this.#partialCharacters,
      emit,
    });
    const probabilities = generation.topLogprobs !== undefined;
    const options = probabilities ? UNFILTERED : checked.options(decoder.tokens);
    if (libraryGrammar) options.grammarEvaluationState = libraryGrammar;
    const cachedTokens = await new Promise<number>((done, failed) => {
      const { conversation } = generation;
      const onSampled: SlotRequest["onSampled"] = (sampled) => {
        const next = decoder.next(sampled);
        if (next !== undefined) place?.accept(next);
        return next;
      };
      this.batchLoop.submit({
        prompt,
        options,
        ...(place && { allowed: () => place.allowed() }),
        probabilities,
        conversation,
        onSampled,
        signal,
        done,
        failed,
      });
    });
    const { finish, completionTokens } = decoder;
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
    await this.batchLoop.close();
    await this.#saved.close();
    await this.#model.dispose();
    if (this.#ownsLibrary) await this.#model.llama.dispose();
  }
}

function textsOf(model: LlamaModel): TokenTexts | undefined {
  const facts = model.fileInfo.metadata.tokenizer?.ggml ?? {};
  const ids = facts.tokens?.keys() ?? [];
  return tokenTextsOf(
    facts,
    [...ids].filter((id) => model.isEogToken(id as Token)),
  );
}

/** `place` tells which tokens the grammar allows next. */
type Follow = {
  grammar?: GrammarState;
  libraryGrammar?: LlamaGrammarEvaluationState;
  place?: AnswerPlace | undefined;
};

/** A request that only needs a slot. */
type Checked = Follow & {
  generation: Generation;
  prompt: Token[];
  room: number;
  /** The options for an answer whose tokens so far are in this list, which grows. */
  options(answer: readonly Token[]): SequenceEvaluateOptions;
};
