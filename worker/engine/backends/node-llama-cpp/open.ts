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
import type { Backend, Emit, Generation, Outcome, Prepared } from "../../backend.ts";
import { roomFor } from "../../refuse.ts";
import { GrammarState, Grammars } from "./grammar.ts";
import { Lockstep } from "./lockstep.ts";
import { Prompts } from "./prompt.ts";
import { PENALTY_WINDOW, Talk } from "./talk.ts";

const MAX_CONTEXT = 8_192;
const MIN_CONTEXT = 512;

export type OpenOptions = {
  model: string;
  slots: number;
  contextSize?: number | undefined;
  batchSize?: number;
  gpu?: false;
  /** of the CPU; without it the library chooses */
  threads?: number | undefined;
};

export async function openNodeLlamaCpp(options: OpenOptions, log: Logger): Promise<LockstepBackend> {
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
    batchSize: options.batchSize ?? 512,
    // Models with a sliding window could not take up a shared prefix again without it.
    swaFullCache: true,
  });
  return new LockstepBackend(options, model, context);
}

export class LockstepBackend implements Backend {
  readonly info: Backend["info"];
  readonly lockstep: Lockstep;
  readonly context: LlamaContext;
  readonly #model: LlamaModel;
  readonly #prompts: Prompts;
  readonly #grammars: Grammars;
  #closed: Promise<void> | undefined;

  constructor({ model: path, slots }: OpenOptions, model: LlamaModel, context: LlamaContext) {
    const name = model.fileInfo.metadata.general?.name || basename(path, ".gguf");
    this.info = {
      backend: "node-llama-cpp",
      model: name,
      contextSize: context.contextSize,
      slots,
      images: false,
    };
    this.context = context;
    this.#model = model;
    this.#prompts = new Prompts(model);
    this.#grammars = new Grammars(model.llama);
    const sequences = Array.from({ length: slots }, () => context.getSequence());
    this.lockstep = new Lockstep(sequences, context.batchSize);
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const prompt = this.#prompts.tokenize(generation.prompt);
    const room = roomFor(prompt.length, this.info.contextSize, generation.maxTokens);
    const follow = await this.#grammar(generation);
    const promptTokens = prompt.length;
    return {
      promptTokens,
      run: (emit, signal) => this.#run({ generation, prompt, room, ...follow }, emit, signal),
    };
  }

  /** With probabilities the grammar is ours to follow, without them the library's. */
  async #grammar({ schema, topLogprobs }: Generation): Promise<Pick<Ready, "ours" | "library">> {
    if (schema === undefined) return {};
    const grammar = await this.#grammars.for(schema);
    if (topLogprobs !== undefined) return { ours: new GrammarState(this.#model, grammar) };
    return { library: new LlamaGrammarEvaluationState({ model: this.#model, grammar }) };
  }

  async #run(
    { generation, prompt, room, ours, library }: Ready,
    emit: Emit,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const talk = new Talk({ model: this.#model, prompt, generation, room, grammar: ours, emit });
    const probabilities = generation.topLogprobs !== undefined;
    const options = probabilities ? OWN_DISTRIBUTION : optionsOf(generation, talk.said);
    if (library) options.grammarEvaluationState = library;
    const cachedTokens = await new Promise<number>((done, failed) => {
      const hear = talk.hear.bind(talk);
      this.lockstep.submit({ prompt, options, probabilities, hear, signal, done, failed });
    });
    const { finish, completionTokens } = talk;
    return { finish, promptTokens: prompt.length, cachedTokens, completionTokens };
  }

  close(): Promise<void> {
    this.#closed ??= this.lockstep.close().then(() => this.#model.dispose());
    return this.#closed;
  }
}

type Ready = {
  generation: Generation;
  prompt: Token[];
  room: number;
  ours?: GrammarState;
  library?: LlamaGrammarEvaluationState;
};

// Greedy without any filter is the one way to be told the distribution as it is; the token is then drawn from it by us.
const OWN_DISTRIBUTION: SequenceEvaluateOptions = { temperature: 0, topK: 0, topP: 1, minP: 0 };

function optionsOf({ sampling }: Generation, said: readonly Token[]): SequenceEvaluateOptions {
  const { temperature, topK, topP, seed, repetitionPenalty: penalty } = sampling;
  const options: SequenceEvaluateOptions = { temperature, topK, topP, minP: 0, seed };
  if (penalty === 1) return options;
  const punishTokens = () => said.slice(-PENALTY_WINDOW);
  return { ...options, repeatPenalty: { penalty, punishTokens, maxPunishTokens: PENALTY_WINDOW } };
}
