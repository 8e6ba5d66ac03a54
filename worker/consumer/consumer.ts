// The loop of a worker: pulls by free slots, keeps a few messages waiting, runs them, drains on stop. What a message
// means and what happens to it is not known here.

import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { isFifo, type Message, QUEUE_HINTS, type Queue, type QueueHealth } from "../queue/queue.ts";
import type { Acks } from "./acks.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Lease } from "./lease.ts";
import { howManyToPull, PrefetchBuffer } from "./prefetch-buffer.ts";
import { momentOf } from "./suspend-detector.ts";
import { type Share, type Slots, WeightedSlots } from "./weighted-slots.ts";

export type ConsumerOptions = {
  queue: Queue;
  leases: Heartbeat;
  acks: Acks;
  /** May change while it runs: the engine's slots are known only when it answers. */
  concurrency: Slots;
  /** The same slots, where several consumers share them; `weight` counts then. */
  slots?: WeightedSlots;
  weight?: number;
  visibilitySeconds: number;
  pollSeconds: number;
  /** Runs one message to its end; `cut` fires when a stop does not wait any longer. Resolves with false when its group's later messages must go back. */
  work(lease: Lease, cut: AbortSignal): Promise<boolean>;
  priorityOf(message: Message): number;
  /** Whether work can be done: the engine answers. */
  isReady(): boolean;
  /** Resolves when it can; pulling and starting wait for it. */
  ready(signal: AbortSignal): Promise<unknown>;
  clock: Clock;
  log: Log;
};

/** Short enough that a queue that is back is used again within half a minute. */
const POLL_BACKOFF = { baseMs: 500, maxMs: 25_000 };
/** Longer than most models take to load. */
const STAND_BY_MS = 300_000;
/** After the deadline of a stop: for the calls that give back what was cut. */
const LAST_CALLS_MS = 5_000;

export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #stopPulling = new AbortController();
  readonly #cutWork = new AbortController();
  readonly #running = new Map<Lease, Promise<void>>();
  readonly #waiting: PrefetchBuffer;
  readonly #share: Share;
  #room = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** Set while messages wait for the engine. */
  #standingBy: Promise<void> | undefined;
  health: QueueHealth = "ok";

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const slots = options.slots ?? new WeightedSlots(options.concurrency);
    this.#share = slots.share(options.weight ?? 1, {
      start: () => this.#startOne(),
      onRoom: () => this.#room.resolve(),
    });
    this.#waiting = new PrefetchBuffer({
      priorityOf: options.priorityOf,
      onLeave: (lease) => {
        if (!lease.isLost) void options.acks.release(lease, 0);
        this.#room.resolve();
      },
    });
  }

  get running(): number {
    return this.#running.size;
  }
  get waiting(): number {
    return this.#waiting.size;
  }

  start(): void {
    this.#options.leases.start();
    this.#loop ??= this.#pull();
  }

  /**
   * Two signals, never one: first pulling stops and what has not started goes back; work that still runs after
   * `deadlineMs` is cut. Waits for both; may be called twice, and before start.
   */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#drain(deadlineMs);
    return this.#stopped;
  }

  /** Ends the wait of a stop that is under way. */
  cut(): void {
    this.#cutWork.abort(new KamadoError("stopping", "The worker stops."));
  }

  async #drain(deadlineMs: number): Promise<void> {
    const { clock, leases } = this.#options;
    this.#stopPulling.abort();
    this.#room.resolve();
    const finished = new AbortController();
    void clock.sleep(deadlineMs, finished.signal).then(() => this.cut());
    // A queue that cannot be reached must not hold a stop: what cannot be given back comes back by itself.
    await Promise.race([this.#finishAll(), this.#lastCalls(finished.signal)]);
    finished.abort();
    await leases.stop();
  }

  async #finishAll(): Promise<void> {
    await this.#giveBackWaiting();
    await this.#loop;
    while (this.#running.size > 0) await Promise.all(this.#running.values());
    await this.#options.acks.idle();
  }

  /** Resolves when what was cut has had its time, and an open poll too. */
  async #lastCalls(finished: AbortSignal): Promise<void> {
    const { clock, pollSeconds } = this.#options;
    await whenAborted(this.#cutWork.signal);
    await clock.sleep(pollSeconds * 1_000 + LAST_CALLS_MS, finished);
  }

  async #pull(): Promise<void> {
    const { clock, leases, ready } = this.#options;
    const { signal } = this.#stopPulling;
    let failures = 0;
    while (!signal.aborted) {
      await ready(signal);
      const want = await this.#waitForRoom();
      // What we hold goes first: after a sleep others may have it.
      if (leases.areInDoubt()) await Promise.race([leases.certain(), whenAborted(signal)]);
      if (signal.aborted) return;
      failures = (await this.#receive(want)) ? 0 : failures + 1;
      if (failures > 0) await clock.sleep(backoffMs(failures, POLL_BACKOFF), signal);
    }
  }

  async #waitForRoom(): Promise<number> {
    for (;;) {
      const { slots, prefetch } = this.#share;
      const want = howManyToPull({ slots, prefetch, held: this.#waiting.size + this.#running.size });
      if (want > 0 || this.#stopPulling.signal.aborted) return want;
      this.#room = Promise.withResolvers();
      await this.#room.promise;
    }
  }

  /** One poll. False when the queue could not be reached. */
  async #receive(max: number): Promise<boolean> {
    const { queue, leases, clock, log, pollSeconds, visibilitySeconds } = this.#options;
    const since = momentOf(clock);
    try {
      // A batch of a FIFO queue may be all of one group, which runs one by one: what waited for a job that fails would go
      // back, nearer to the dead letters each time.
      const atOnce = isFifo(queue) ? 1 : max;
      const messages = await queue.receive({ max: atOnce, waitSeconds: pollSeconds, visibilitySeconds });
      if (this.health !== "ok") log.info({ stage: "pull" }, "the queue answers again");
      this.health = "ok";
      for (const message of messages) this.#waiting.enter(leases.take(message, since));
    } catch (thrown) {
      this.#unreachable(toKamadoError(thrown, "queue_unavailable"));
      return false;
    }
    if (this.#stopPulling.signal.aborted) await this.#giveBackWaiting();
    else this.#startWaiting();
    return true;
  }

  #unreachable({ code, message, detail }: KamadoError): void {
    const health = detail?.awsFailure ?? "unknown";
    this.health = health;
    this.#options.log.error({ stage: "pull", code, health }, `${message} ${QUEUE_HINTS[health]}`);
  }

  #startWaiting(): void {
    if (this.#waiting.size > 0 && !this.#options.isReady()) this.#standBy();
    else this.#share.fill();
  }

  #startOne(): boolean {
    if (this.#stopPulling.signal.aborted || !this.#options.isReady()) return false;
    const next = this.#waiting.next();
    if (next) this.#begin(next);
    return next !== undefined;
  }

  #standBy(): void {
    this.#standingBy ??= this.#untilReady().then(() => {
      this.#standingBy = undefined;
      if (!this.#stopPulling.signal.aborted) this.#startWaiting();
    });
  }

  /** An engine that starts anew is worth a wait; after that other workers shall have what waits here. */
  async #untilReady(): Promise<void> {
    const { clock, ready } = this.#options;
    const over = new AbortController();
    void clock.sleep(STAND_BY_MS, over.signal).then(() => {
      if (!over.signal.aborted) void this.#giveBackWaiting();
    });
    await ready(this.#stopPulling.signal);
    over.abort();
  }

  #begin(lease: Lease): void {
    const { group } = lease.message;
    const run = this.#options.work(lease, this.#cutWork.signal).then(async (goOn) => {
      if (group !== null && !goOn) await this.#giveBackWaiting(group);
      this.#waiting.leave(lease);
      this.#running.delete(lease);
      this.#share.ended();
      this.#room.resolve();
      this.#startWaiting();
    });
    this.#running.set(lease, run);
  }

  /** Messages that have not started go back at once, so that others see them. */
  async #giveBackWaiting(group?: string): Promise<void> {
    await Promise.all(this.#waiting.clear(group).map((lease) => this.#options.acks.release(lease, 0)));
  }
}

function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
