// Loads one backend, admits requests through the queue, runs their answers in its slots, and reports the engine's state. The
// HTTP server stands in front of it (engine/server), the model behind it (engine/generation/backend).
import { KamadoError, toKamadoError } from "../../errors.ts";
import type { Backend, BackendInfo, BackendState, Generation } from "../generation/backend.ts";
import { USUAL_RULE } from "../generation/repetition.ts";
import type { Health, SlotsFrom } from "../protocol.ts";
import { type Admission, AdmissionQueue } from "./admission-queue.ts";
import { type Answered, type Phases, preparePhases, runPhases } from "./generate.ts";
import type { OnPiece, Piece } from "./piece.ts";
import { SlotStats } from "./slot-stats.ts";

export type SchedulerOptions = {
  slots: number;
  maxQueue: number;
  /** An engine whose slots are busy and that makes no progress for so long is unhealthy. */
  stallMs: number;
  /** False: no answer is ended because it repeats itself, unless its request has a rule of its own. [true] */
  repetitionStop?: boolean;
  /** Called once for each answer that came to its end. If it throws, that is logged and harms no answer. */
  onAnswered(generation: Generation, rank: number, times: Times, answered: Answered): void;
  /** Called when a request comes, before its body is read. */
  onRequest?(): void;
  log: { error(fields: object, message: string): void };
};

/** When an answer went through its stages, in milliseconds of one monotonic clock. */
export type Times = {
  arrivedAt: number;
  /** When it got its slot. */
  startedAt: number;
  firstTokenAt: number | undefined;
  lastTokenAt: number | undefined;
};

/** What one request asks for, whichever endpoint it came in by. */
export type GenerationRequest = {
  /**
   * Made once the request has its place in the queue, because to decode its pictures takes time and memory. The signal
   * fires when nobody waits for it any longer.
   */
  generation(signal: AbortSignal): Promise<Generation>;
  /** How many answers. Each uses a slot of its own; the nth is drawn with seed + n. */
  count: number;
  /** Its place in the queue's order, see queue-order.ts. */
  rank: number;
  /** How many tokens the model may think before each answer. */
  thinkingBudget: number;
};

/** An answer that was checked and has a place in the queue. Its admission must be released, whatever happens. */
export type Admitted = { phases: Phases; admission: Admission; rank: number; arrivedAt: number };

export class Scheduler {
  queue: AdmissionQueue;
  slotStats: SlotStats;
  /** What loading does at the moment, and what the model is estimated to need. Set by whoever loads it. */
  loading: string | undefined;
  estimatedBytes: number | undefined;
  slotsFrom: SlotsFrom | undefined;
  readonly #options: SchedulerOptions;
  #backend: Backend | undefined;
  #failure: string | undefined;
  #stopping = false;
  readonly #cut = new AbortController();
  #progressAt = performance.now();
  #steps: number | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.queue = new AdmissionQueue(options.slots, options.maxQueue);
    this.slotStats = new SlotStats(options.slots);
  }

  async load(open: () => Promise<Backend>): Promise<void> {
    try {
      const backend = await open();
      const { slots } = backend.info;
      // The backend may have another number of slots. The queue is empty, because nothing is admitted before this.
      if (slots !== this.queue.slots) {
        this.queue = new AdmissionQueue(slots, this.#options.maxQueue);
        this.slotStats = new SlotStats(slots);
      }
      this.#backend = backend;
    } catch (thrown) {
      this.#failure = toKamadoError(thrown, "engine_unavailable").message;
      throw thrown;
    }
  }

  get info(): BackendInfo | undefined {
    return this.#backend?.info;
  }
  /** Whether the model's chat template has a place for tools. */
  get hasTools(): boolean {
    return this.#backend?.calls !== undefined;
  }
  /** Undefined when the backend does not report it. */
  get backendState(): BackendState | undefined {
    return this.#backend?.state?.();
  }

  health(): Health {
    const { busy, slots, waiting } = this.queue;
    const { model = null, backend = null, file, template } = this.info ?? {};
    const { name = null, quantization = null } = file ?? {};
    const identity = { model, backend, file: name, quantization, chatTemplate: template?.from ?? null };
    const memory = { estimatedBytes: this.estimatedBytes ?? null, residentBytes: process.memoryUsage.rss() };
    const about = { images: this.info?.images ?? null, slotsFrom: this.slotsFrom ?? null, memory };
    const base = { ...identity, slots: { busy, total: slots }, waiting, ...about };
    if (this.#failure !== undefined) return { state: "SETUP_FAILED", ...base, reason: this.#failure };
    if (!this.#backend)
      return { state: "STARTING", ...base, ...(this.loading !== undefined && { reason: this.loading }) };
    const quietMs = this.#quietMs();
    if (busy > 0 && quietMs > this.#options.stallMs)
      return { state: "UNHEALTHY", ...base, reason: `No token for ${Math.round(quietMs / 1_000)} s.` };
    return { state: busy >= slots ? "BUSY" : "READY", ...base };
  }

  /** Whether there is room for a request that has not been read yet. Throws what the client is told if there is none. */
  expectRoom(): BackendInfo {
    this.#options.onRequest?.();
    const { info } = this.#loaded();
    this.queue.expectRoom();
    return info;
  }

  /** Admits a request's answers to the queue and has the backend check them. Throws what the client is told. */
  async admit(
    { generation, count, rank, thinkingBudget }: GenerationRequest,
    wanted: AbortSignal,
  ): Promise<Admitted[]> {
    const backend = this.#loaded();
    const arrivedAt = performance.now();
    const admissions = this.queue.admit(rank, count);
    const admitted: Admitted[] = [];
    try {
      const asked = await generation(AbortSignal.any([wanted, this.#cut.signal]));
      const { repetitionStop = true } = this.#options;
      const made = repetitionStop ? { repetition: USUAL_RULE, ...asked } : asked;
      for (const [nth, admission] of admissions.entries()) {
        const phases = await preparePhases(backend, withSeed(made, nth), thinkingBudget);
        admitted.push({ phases, admission, rank, arrivedAt });
      }
      return admitted;
    } catch (thrown) {
      for (const admission of admissions) admission.release();
      throw thrown;
    }
  }

  /** Waits for a slot, runs the answer in it, and passes its pieces on as they come. Releases the admission in every case. */
  async run(admitted: Admitted, onPiece: OnPiece, wanted: AbortSignal): Promise<Answered> {
    const signal = AbortSignal.any([wanted, this.#cut.signal]);
    const { phases, admission, rank, arrivedAt } = admitted;
    const first = phases.thinking ?? phases.answer;
    try {
      await admission.untilSlot(signal, () => first.warmTokens?.() ?? 0);
      const times: Times = {
        arrivedAt,
        startedAt: this.#progress(),
        firstTokenAt: undefined,
        lastTokenAt: undefined,
      };
      const slot = this.slotStats.start(rank, first.promptTokens);
      const onTimedPiece = (piece: Piece) => {
        if (piece.tokens.length > 0) {
          times.lastTokenAt = this.#progress();
          times.firstTokenAt ??= times.lastTokenAt;
          slot.onToken();
        }
        onPiece(piece);
      };
      const answered = await runPhases(this.#backend!, phases, onTimedPiece, signal).finally(slot.end);
      this.#reportAnswered(phases.generation, rank, times, answered);
      return answered;
    } finally {
      this.#progress();
      admission.release();
    }
  }

  /** Refuses new requests and waits until none runs or waits, or the deadline comes. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
    while (this.queue.busy + this.queue.waiting > 0 && !deadline.aborted)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Ends all answers that still run or wait, with an error that says that the engine is stopping. */
  cut(): void {
    this.#cut.abort(stoppingError());
  }

  async close(): Promise<void> {
    await this.#backend?.close();
  }

  #reportAnswered(...answer: Parameters<SchedulerOptions["onAnswered"]>): void {
    const { onAnswered, log } = this.#options;
    try {
      onAnswered(...answer);
    } catch (thrown) {
      log.error({ err: thrown }, "a listener to answers failed");
    }
  }

  /** Notes that something moved, and returns when. */
  #progress(): number {
    this.#progressAt = performance.now();
    return this.#progressAt;
  }

  /** How long nothing has moved. While a long prompt is read there are no tokens, but the backend's steps go on. */
  #quietMs(): number {
    const steps = this.backendState?.steps;
    if (steps !== this.#steps) this.#progress();
    this.#steps = steps;
    return performance.now() - this.#progressAt;
  }

  #loaded(): Backend {
    if (this.#stopping) throw stoppingError();
    if (this.#failure !== undefined)
      throw new KamadoError("engine_unavailable", `The model could not be loaded: ${this.#failure}`);
    if (!this.#backend) throw new KamadoError("engine_unavailable", "The model is being loaded.");
    return this.#backend;
  }
}

const stoppingError = () => new KamadoError("stopping", "The engine is stopping.");

function withSeed(generation: Generation, nth: number): Generation {
  const { sampling } = generation;
  return { ...generation, sampling: { ...sampling, seed: (sampling.seed + nth) % 2 ** 32 } };
}
