// A model on llama-server, for models that see pictures before all: it batches, keeps prompts in its slots and can be killed
// without harm to this process. Requests are checked here first; what it cannot do is refused before it hears of it.
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
import { jsonGrammar } from "../../generation/json-schema-to-gbnf.ts";
import { checkProjector, readModelFile } from "../../generation/model-file.ts";
import { thinkingMarks } from "../../generation/thinking-marks.ts";
import { picturesAt, promptFor, type ServerPrompt, ServerPrompts } from "./chat-template.ts";
import type { Server } from "./client.ts";
import { Steps, unavailable } from "./client.ts";
import { PrefixFiles } from "./prefix-files.ts";
import type { Say } from "./process.ts";
import { LlamaServerProcess } from "./process.ts";
import { completionOf } from "./request.ts";
import { SlotChoice } from "./slot-choice.ts";
import { Stream } from "./stream.ts";

const MAX_CONTEXT = 8_192;

export type OpenOptions = {
  /** the program */
  command: string;
  model: string;
  mmproj?: string | undefined;
  slots: number;
  contextSize?: number | undefined;
  threads?: number | undefined;
  delaysMs?: readonly number[];
  /** It cannot be brought back. Without it this process ends, and its supervisor decides. */
  onGone?: (error: KamadoError) => void;
};

export async function openLlamaServer(options: OpenOptions, log: Logger): Promise<LlamaServerBackend> {
  const { model, mmproj, slots } = options;
  const file = await readModelFile(model);
  if (mmproj !== undefined) await checkProjector(mmproj);
  const contextSize = options.contextSize ?? Math.min(file.trainContextSize, MAX_CONTEXT);
  const seating = new SlotChoice(slots);
  const steps = new Steps();
  const onUp = async (server: Server) => {
    steps.reset();
    seating.reset(await files.warmAll(server, slots));
  };
  const onGone = options.onGone ?? raise;
  const native: Say = (words, level) => log[level]({ native: words });
  const process = new LlamaServerProcess({ ...options, contextSize, onUp, onGone, log: native });
  const files = new PrefixFiles(process.folder);
  await process.start();
  const server = process.server();
  const info: BackendInfo = {
    backend: "llama-server",
    model: file.name,
    contextSize: Math.min(contextSize, server.contextSize),
    slots,
    images: mmproj !== undefined,
    thinks: thinkingMarks(server.template) !== undefined,
    unsupported: [],
  };
  const prompts = new ServerPrompts(() => process.server(), file.specials);
  return new LlamaServerBackend(info, { process, prompts, seating, files, steps });
}

type Parts = {
  process: LlamaServerProcess;
  prompts: ServerPrompts;
  seating: SlotChoice;
  files: PrefixFiles;
  steps: Steps;
};
type Ready = { generation: Generation; prompt: ServerPrompt; room: number; grammar: string | undefined };

export class LlamaServerBackend implements Backend {
  readonly info: BackendInfo;
  readonly #parts: Parts;
  readonly #pictures = { encoded: 0, reused: 0 };

  constructor(info: BackendInfo, parts: Parts) {
    this.info = info;
    this.#parts = parts;
  }

  async prepare(generation: Generation): Promise<Prepared> {
    const { schema, maxTokens, prompt: asked } = generation;
    const grammar = schema === undefined ? undefined : jsonGrammar(schema);
    if (!this.info.images && hasPictures(asked))
      throw invalid("messages", "messages: this model reads no pictures.");
    const { process, prompts, seating, files } = this.#parts;
    const prompt = await process.use(() => prompts.make(asked));
    const { tokens } = prompt;
    const room = roomFor(tokens.length, this.info.contextSize, maxTokens);
    return {
      promptTokens: tokens.length,
      warmTokens: () => Math.max(seating.warm(tokens), files.covered(tokens)),
      run: (emit, signal) => {
        const ready = { generation, prompt, room, grammar };
        return process.use((server) => this.#run(server, ready, emit, signal));
      },
    };
  }

  async #run(server: Server, ready: Ready, emit: Emit, signal: AbortSignal): Promise<Outcome> {
    const { seating, files } = this.#parts;
    const { tokens } = ready.prompt;
    const seat = await seating.take(tokens, ready.generation.conversation, signal);
    try {
      const warmed = await files.warm(server, seat.index, ready.prompt, seat.common, signal);
      if (warmed) seat.holds(warmed.holds);
      const hearing = new Stream((token) => {
        seat.speaks();
        return emit(token);
      }, ready.generation.topLogprobs);
      seat.holds(tokens);
      await this.#hear(ready, server, seat.index, hearing, signal);
      seat.holds([...tokens, ...hearing.said]);
      const { finish, completionTokens } = hearing;
      // What was evaluated to be saved was evaluated for this request.
      const cachedTokens =
        warmed?.read === false ? Math.min(seat.common, hearing.cachedTokens) : hearing.cachedTokens;
      this.#countPictures(ready.prompt, cachedTokens);
      return { finish, promptTokens: tokens.length, cachedTokens, completionTokens };
    } finally {
      seat.leave();
    }
  }

  async #hear(ready: Ready, server: Server, slot: number, hearing: Stream, signal: AbortSignal) {
    const { generation, prompt, room, grammar } = ready;
    const { sampling, topLogprobs } = generation;
    const what = { sampling, topLogprobs, room, grammar, slot, end: prompt.end };
    const body = completionOf({ ...what, prompt: promptFor(prompt, server.marker) });
    for await (const event of server.client.stream("/completion", { ...server.always, ...body }, signal))
      if (!hearing.hear(event)) return;
    // It ends with an event that says so, or something cut it off.
    throw unavailable("llama-server broke its answer off.");
  }

  #countPictures({ tokens }: ServerPrompt, cachedTokens: number): void {
    for (const at of picturesAt(tokens)) this.#pictures[at < cachedTokens ? "reused" : "encoded"]++;
  }

  state(): BackendState {
    const { process, seating, files, steps } = this.#parts;
    const count = steps.count(() => process.server());
    return { slots: seating.state(), steps: count, prefixes: files.kept, pictures: { ...this.#pictures } };
  }

  close(): Promise<void> {
    return this.#parts.process.close();
  }
}

function hasPictures(prompt: Generation["prompt"]): boolean {
  return (
    "messages" in prompt && prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image"))
  );
}

function raise(error: KamadoError): void {
  queueMicrotask(() => {
    throw error;
  });
}
