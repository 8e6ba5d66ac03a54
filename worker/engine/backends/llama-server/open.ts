// The backend on llama-server, which sees pictures, batches by itself, keeps prompts in its slots, and may crash without harm to
// this process. It opens the model, checks a request before the server sees it, and runs it in a slot. The server's process is
// left to process.ts, the choice of a slot to slot-choice.ts, saved prefixes to prefix-files.ts.
import type { Logger } from "pino";
import type { KamadoError } from "../../../errors.ts";
import type {
  Backend,
  BackendInfo,
  BackendState,
  Emit,
  Generation,
  Outcome,
  Prepared,
} from "../../generation/backend.ts";
import { invalid, roomFor } from "../../generation/backend.ts";
import type { NamedTemplate } from "../../generation/chat-template.ts";
import { grammarFor } from "../../generation/json-schema-to-gbnf.ts";
import { readModelFile } from "../../generation/model-file.ts";
import { thinkingMarks } from "../../generation/thinking-marks.ts";
import { picturesAt, promptFor, type ServerPrompt, ServerPrompts } from "./chat-template.ts";
import { type Server, StepCounter, unavailable } from "./client.ts";
import { type AskList, type Listed, splitJoined } from "./joined-tokens.ts";
import { PrefixFiles } from "./prefix-files.ts";
import { LlamaServerProcess, type LogLine } from "./process.ts";
import { completionBody, listBody } from "./request.ts";
import { SlotChoice } from "./slot-choice.ts";
import { Stream } from "./stream.ts";

const MAX_CONTEXT = 8_192;

export type OpenOptions = {
  /** the program's path */
  command: string;
  model: string;
  mmproj?: string | undefined;
  slots: number;
  contextSize?: number | undefined;
  threads?: number | undefined;
  /** in place of the file's own */
  template?: NamedTemplate | undefined;
  /** False only for measuring: saves no prefixes and leaves the choice of the slot to llama-server. */
  prefixFiles?: boolean;
  delaysMs?: readonly number[];
  /** Called when llama-server cannot be started again. Without it this process ends, and its supervisor starts a new one. */
  onGone?: (error: KamadoError) => void;
};

export async function openLlamaServer(options: OpenOptions, log: Logger): Promise<LlamaServerBackend> {
  const { model, mmproj, slots, prefixFiles = true } = options;
  const file = await readModelFile(model, options.template);
  const contextSize = options.contextSize ?? Math.min(file.trainContextSize, MAX_CONTEXT);
  const slotChoice = new SlotChoice(slots, prefixFiles);
  const steps = new StepCounter();
  const onStarted = async (server: Server) => {
    steps.reset();
    slotChoice.reset(await files.prepareAll(server, slots));
  };
  const onGone = options.onGone ?? raise;
  const logLine: LogLine = (line, level) => log[level]({ native: line });
  const template = file.template.from === "file" ? undefined : file.template.source;
  const process = new LlamaServerProcess({
    ...options,
    template,
    contextSize,
    onStarted,
    onGone,
    log: logLine,
  });
  const files = new PrefixFiles(process.folder, prefixFiles);
  await process.start();
  const server = process.server();
  const info: BackendInfo = {
    backend: "llama-server",
    ...file.identity,
    contextSize: Math.min(contextSize, server.contextSize),
    slots,
    images: mmproj !== undefined,
    thinks: thinkingMarks(server.template) !== undefined,
    unsupported: [],
  };
  const prompts = new ServerPrompts(() => process.server(), file.specials);
  await prompts.findCallFormat();
  return new LlamaServerBackend(info, { process, prompts, slotChoice, files, steps });
}

type Parts = {
  process: LlamaServerProcess;
  prompts: ServerPrompts;
  slotChoice: SlotChoice;
  files: PrefixFiles;
  steps: StepCounter;
};
/** A request that only needs a slot. */
type Checked = { generation: Generation; prompt: ServerPrompt; room: number; grammar: string | undefined };

class LlamaServerBackend implements Backend {
  readonly info: BackendInfo;
  readonly #parts: Parts;
  readonly #pictures = { encoded: 0, reused: 0 };

  constructor(info: BackendInfo, parts: Parts) {
    this.info = info;
    this.#parts = parts;
  }

  get calls() {
    return this.#parts.prompts.calls;
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const { maxTokens, prompt: asked } = generation;
    const grammar = grammarFor(generation);
    if (!this.info.images && hasPictures(asked))
      throw invalid("messages", "messages: this model reads no pictures.");
    const { process, prompts, slotChoice, files } = this.#parts;
    const prompt = await process.use(() => prompts.make(asked));
    const { tokens } = prompt;
    const room = roomFor(tokens.length, this.info.contextSize, maxTokens);
    return {
      promptTokens: tokens.length,
      warmTokens: () => Math.max(slotChoice.warmTokens(tokens), files.covered(tokens)),
      run: (emit, signal) => {
        const checked = { generation, prompt, room, grammar };
        return process.use((server) => this.#run(server, checked, emit, signal));
      },
    };
  }

  async #run(server: Server, checked: Checked, emit: Emit, signal: AbortSignal): Promise<Outcome> {
    const { slotChoice, files } = this.#parts;
    const { generation, prompt } = checked;
    const { tokens } = prompt;
    const slot = await slotChoice.take(tokens, generation.conversation, signal);
    try {
      const prepared = await files.prepare(server, slot.index, prompt, slot.common, signal);
      if (prepared) slot.holds(prepared.holds);
      const stream = streamFor(checked, (token) => {
        slot.decodes();
        return emit(token);
      });
      slot.holds(tokens);
      await this.#complete(server, checked, slot.index, stream, signal);
      slot.holds([...tokens, ...stream.tokens]);
      if (stream.held.length > 0)
        slot.holds([...tokens, ...(await this.#split(server, checked, slot.index, stream, signal))]);
      const { finish, completionTokens } = stream;
      // What this request evaluated to save it for others was not cached for it.
      const wasEvaluated = prepared !== undefined && !prepared.isLoaded;
      const cachedTokens = wasEvaluated ? Math.min(slot.common, stream.cachedTokens) : stream.cachedTokens;
      this.#countPictures(prompt, cachedTokens);
      return { finish, promptTokens: tokens.length, cachedTokens, completionTokens };
    } finally {
      slot.leave();
    }
  }

  async #complete(server: Server, checked: Checked, slot: number, stream: Stream, signal: AbortSignal) {
    const { generation, prompt, room, grammar } = checked;
    const { sampling, topLogprobs, shown } = generation;
    const wanted = { sampling, topLogprobs, shown, room, grammar, slot, end: prompt.end };
    const body = completionBody({ ...wanted, prompt: promptFor(prompt, server.marker) });
    for await (const event of server.client.stream("/completion", { ...server.always, ...body }, signal))
      if (!stream.push(event)) return;
    // A complete answer ends with an event that says so.
    throw unavailable("llama-server broke off its answer.");
  }

  /** Emits what the stream has held back, and returns the tokens of the answer that the slot holds then. */
  async #split(server: Server, checked: Checked, slot: number, stream: Stream, signal: AbortSignal) {
    const { generation, prompt, grammar } = checked;
    const { sampling, topLogprobs = 0 } = generation;
    const askList: AskList = async (after, most) => {
      const body = { ...server.always, ...listBody([...prompt.tokens, ...after], slot, most) };
      type Answer = { completion_probabilities?: { top_logprobs?: Listed[] }[] };
      const answer = await server.client.post<Answer>("/completion", body, signal);
      return answer.completion_probabilities?.[0]?.top_logprobs ?? [];
    };
    const drawn = { sampling, topLogprobs, hasGrammar: grammar !== undefined };
    const { tokens, ids, asked } = await splitJoined(stream.held, stream.tokens, drawn, askList);
    stream.release(tokens);
    return ids.slice(0, asked);
  }

  #countPictures({ tokens }: ServerPrompt, cachedTokens: number): void {
    for (const at of picturesAt(tokens)) this.#pictures[at < cachedTokens ? "reused" : "encoded"]++;
  }

  state(): BackendState {
    const { process, slotChoice, files, steps } = this.#parts;
    const count = steps.count(() => process.server());
    return { slots: slotChoice.state(), steps: count, prefixes: files.kept, pictures: { ...this.#pictures } };
  }

  close(): Promise<void> {
    return this.#parts.process.close();
  }
}

/** The tokens of an answer to a picture are not asked for again: such a prompt has no form in tokens. */
function streamFor({ generation, prompt }: Checked, emit: Emit): Stream {
  const { topLogprobs, stop } = generation;
  return new Stream(emit, topLogprobs, topLogprobs !== undefined && prompt.texts === undefined, stop);
}

function hasPictures(prompt: Generation["prompt"]): boolean {
  return (
    "messages" in prompt && prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image"))
  );
}

/** Ends this process as an uncaught error does. */
function raise(error: KamadoError): void {
  queueMicrotask(() => {
    throw error;
  });
}
