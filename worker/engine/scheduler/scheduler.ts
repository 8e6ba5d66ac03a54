// The engine's scheduler: loads one backend, lets requests through the queue into it, and knows how it is.
// HTTP stands in front of it (http/), the model behind it (backend.ts).
import { KamadoError, toKamadoError } from "../../errors.ts";
import type { Backend, BackendInfo, BackendState, Generation } from "../generation/backend.ts";
import type { Health } from "../protocol.ts";
import { Metrics, type Operation, type Times } from "../server/metrics.ts";
import { AdmissionQueue, type Place } from "./admission-queue.ts";
import { type Answered, type Phases, type Piece, preparePhases, runPhases } from "./generate.ts";
import { SlotStats } from "./slot-stats.ts";

export type { Health, State } from "../protocol.ts";
export type SchedulerOptions = { slots: number; maxQueue: number; stallMs: number };

/** An answer that has its place in the queue and was found good. `leave` must be called, whatever happens. */
export type Admitted = { phases: Phases; place: Place; rank: number; arrivedAt: number };

export class Scheduler {
  queue: AdmissionQueue;
  seats: SlotStats;
  /** What loading is about just now, and what the model was found to need of memory: whoever loads says so. */
  loading: string | undefined;
  estimatedBytes: number | undefined;
  readonly metrics = new Metrics();
  readonly #maxQueue: number;
  readonly #stallMs: number;
  #backend: Backend | undefined;
  #failure: string | undefined;
  #stopping = false;
  #progressAt = performance.now();
  #steps: number | undefined;

  constructor({ slots, maxQueue, stallMs }: SchedulerOptions) {
    this.queue = new AdmissionQueue(slots, maxQueue);
    this.seats = new SlotStats(slots);
    this.#maxQueue = maxQueue;
    this.#stallMs = stallMs;
  }

  async load(open: () => Promise<Backend>): Promise<void> {
    try {
      const backend = await open();
      const { slots } = backend.info;
      // The backend may have chosen their number itself. Nobody is in the queue before there is one.
      if (slots !== this.queue.slots)
        [this.queue, this.seats] = [new AdmissionQueue(slots, this.#maxQueue), new SlotStats(slots)];
      this.#backend = backend;
    } catch (thrown) {
      this.#failure = toKamadoError(thrown, "engine_unavailable").message;
      throw thrown;
    }
  }

  get info(): BackendInfo | undefined {
    return this.#backend?.info;
  }
  /** What the backend tells of its inside, when it does. */
  get inside(): BackendState | undefined {
    return this.#backend?.state?.();
  }

  health(): Health {
    const { busy, slots, waiting } = this.queue;
    const { model = null, backend = null } = this.info ?? {};
    const memory = { estimatedBytes: this.estimatedBytes ?? null, residentBytes: process.memoryUsage.rss() };
    const base = { model, backend, slots: { busy, total: slots }, waiting, memory };
    if (this.#failure !== undefined) return { state: "SETUP_FAILED", ...base, reason: this.#failure };
    if (!this.#backend)
      return { state: "STARTING", ...base, ...(this.loading !== undefined && { reason: this.loading }) };
    // A long prompt says nothing for minutes on a slow machine; its steps tell that it gets on.
    const steps = this.inside?.steps;
    if (steps !== this.#steps) this.#progress();
    this.#steps = steps;
    const quietMs = performance.now() - this.#progressAt;
    if (busy > 0 && quietMs > this.#stallMs)
      return { state: "UNHEALTHY", ...base, reason: `No token for ${Math.round(quietMs / 1_000)} s.` };
    return { state: busy >= slots ? "BUSY" : "READY", ...base };
  }

  /** Places in the queue and the backend's word that the request can run; throws what the client must hear. */
  async admit({ generation, count, rank, thinkingBudget }: Question): Promise<Admitted[]> {
    const backend = this.#ready();
    const arrivedAt = performance.now();
    const places = this.queue.enter(rank, count);
    const admitted: Admitted[] = [];
    try {
      for (const [nth, place] of places.entries()) {
        const phases = await preparePhases(backend, withSeed(generation, nth), thinkingBudget);
        admitted.push({ phases, place, rank, arrivedAt });
      }
      return admitted;
    } catch (thrown) {
      for (const place of places) place.leave();
      throw thrown;
    }
  }

  /** Waits for the turn, runs, and hands out pieces as they come. Leaves the queue in every case. */
  async run(
    { phases, place, rank, arrivedAt }: Admitted,
    onPiece: (piece: Piece) => void,
    signal: AbortSignal,
  ): Promise<Answered> {
    const first = phases.thinking ?? phases.answer;
    try {
      await place.turn(signal, () => first.warmTokens?.() ?? 0);
      const times: Times = {
        arrivedAt,
        turnAt: this.#progress(),
        firstTokenAt: undefined,
        lastTokenAt: undefined,
      };
      const seat = this.seats.take(rank, first.promptTokens);
      const hear = (piece: Piece) => {
        if (piece.tokens.length > 0) {
          times.lastTokenAt = this.#progress();
          times.firstTokenAt ??= times.lastTokenAt;
          seat.heard();
        }
        onPiece(piece);
      };
      const answered = await runPhases(this.#backend!, phases, hear, signal).finally(seat.leave);
      this.metrics.answered(operationOf(phases.generation), rank, times, answered);
      return answered;
    } finally {
      this.#progress();
      place.leave();
    }
  }

  /** Refuses what comes from now on and waits until nothing runs. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
    while (this.queue.busy + this.queue.waiting > 0 && !deadline.aborted)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async close(): Promise<void> {
    await this.#backend?.close();
  }

  /** Something moves: now. */
  #progress(): number {
    this.#progressAt = performance.now();
    return this.#progressAt;
  }

  #ready(): Backend {
    if (this.#stopping) throw new KamadoError("stopping", "The engine is stopping.");
    if (this.#failure !== undefined)
      throw new KamadoError("engine_unavailable", `The model could not be loaded: ${this.#failure}`);
    if (!this.#backend) throw new KamadoError("engine_unavailable", "The model is being loaded.");
    return this.#backend;
  }
}

// What one request asks of the engine, whichever address it came in by. Pure.
/** A generation, how many answers, and how they come to their turn. */
export type Question = {
  generation: Generation;
  /** Each answer takes a place in the queue and a slot of its own; the nth is drawn with the seed + n. */
  count: number;
  /** See turn-order.ts. */
  rank: number;
  /** How many tokens the model may think before each answer. */
  thinkingBudget: number;
};

export function withSeed(generation: Generation, nth: number): Generation {
  const { sampling } = generation;
  return { ...generation, sampling: { ...sampling, seed: (sampling.seed + nth) % 2 ** 32 } };
}

export const operationOf = ({ prompt }: Generation): Operation =>
  "text" in prompt ? "text_completion" : "chat";
