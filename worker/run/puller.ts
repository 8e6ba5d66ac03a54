// The loop of a worker: pulls by free slots, keeps a few messages waiting, runs them, drains on stop. What a message
// means and what happens to it is not known here.

import type { Clock } from "../clock.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Message, Queue, QueueHealth } from "../queue/queue.ts";
import type { Acks } from "./acks.ts";
import { howManyToPull, nextToRun } from "./admission.ts";
import { backoffMs } from "./backoff.ts";
import type { Lease, Leases } from "./lease.ts";

export type PullerOptions = {
  queue: Queue;
  leases: Leases;
  acks: Acks;
  slots: number;
  prefetch: number;
  visibilitySeconds: number;
  pollSeconds: number;
  /** Runs one message to its end; `cut` fires when a stop does not wait any longer. Resolves with false when its group's later messages must go back. */
  work(lease: Lease, cut: AbortSignal): Promise<boolean>;
  priorityOf(message: Message): number;
  /** Whether work can be done: the engine answers. */
  isReady(): boolean;
  /** Resolves when it can; pulling and starting wait for it. */
  ready(signal: AbortSignal): Promise<void>;
  clock: Clock;
  log: Log;
};

type Waiting = { lease: Lease; priority: number; group: string | null };

const POLL_BACKOFF = { baseMs: 500, maxMs: 30_000 };

export class Puller {
  readonly #options: PullerOptions;
  readonly #stopPulling = new AbortController();
  readonly #cutWork = new AbortController();
  readonly #running = new Map<Lease, Promise<void>>();
  readonly #groups = new Set<string>();
  #waiting: Waiting[] = [];
  #room = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** Set while messages wait for the engine. */
  #standingBy: Promise<void> | undefined;
  health: QueueHealth = "ok";

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size;
  }
  get waiting(): number {
    return this.#waiting.length;
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
    this.#stopPulling.abort();
    this.#room.resolve();
    const finished = new AbortController();
    void this.#options.clock.sleep(deadlineMs, finished.signal).then(() => this.cut());
    await this.#giveBackWaiting();
    await this.#loop;
    while (this.#running.size > 0) await Promise.all(this.#running.values());
    finished.abort();
    await this.#options.acks.idle();
    await this.#options.leases.stop();
  }

  async #pull(): Promise<void> {
    const { signal } = this.#stopPulling;
    let failures = 0;
    while (!signal.aborted) {
      await this.#options.ready(signal);
      const want = await this.#waitForRoom();
      if (signal.aborted) return;
      failures = (await this.#receive(want)) ? 0 : failures + 1;
      if (failures > 0) await this.#options.clock.sleep(backoffMs(failures, POLL_BACKOFF), signal);
    }
  }

  async #waitForRoom(): Promise<number> {
    for (;;) {
      const want = howManyToPull({ ...this.#options, held: this.#waiting.length + this.#running.size });
      if (want > 0 || this.#stopPulling.signal.aborted) return want;
      this.#room = Promise.withResolvers();
      await this.#room.promise;
    }
  }

  /** One poll. False when the queue could not be reached. */
  async #receive(max: number): Promise<boolean> {
    const { queue, leases, clock, log, pollSeconds, visibilitySeconds, priorityOf } = this.#options;
    const since = { now: clock.now(), wall: clock.wall() };
    try {
      const messages = await queue.receive({ max, waitSeconds: pollSeconds, visibilitySeconds });
      if (this.health !== "ok") log.info({ station: "pull" }, "the queue answers again");
      this.health = "ok";
      for (const message of messages) {
        this.#waiting.push({
          lease: leases.take(message, since),
          priority: priorityOf(message),
          group: message.group,
        });
      }
    } catch (thrown) {
      const error = toKamadoError(thrown, "queue_unavailable");
      this.health = (error.detail?.health as QueueHealth | undefined) ?? "unknown";
      log.error({ station: "pull", code: error.code, health: this.health }, `${error.message} ${error.hint}`);
      return false;
    }
    if (this.#stopPulling.signal.aborted) await this.#giveBackWaiting();
    else this.#startWaiting();
    return true;
  }

  #startWaiting(): void {
    if (this.#waiting.length > 0 && !this.#options.isReady()) {
      const { signal } = this.#stopPulling;
      this.#standingBy ??= this.#options.ready(signal).then(() => {
        this.#standingBy = undefined;
        if (!signal.aborted) this.#startWaiting();
      });
      return;
    }
    while (this.#running.size < this.#options.slots) {
      const index = nextToRun(this.#waiting, this.#groups);
      if (index < 0) return;
      const [next] = this.#waiting.splice(index, 1);
      this.#begin(next!);
    }
  }

  #begin({ lease, group }: Waiting): void {
    if (group !== null) this.#groups.add(group);
    const run = this.#options.work(lease, this.#cutWork.signal).then(async (goOn) => {
      if (group !== null && !goOn) await this.#giveBackWaiting(group);
      if (group !== null) this.#groups.delete(group);
      this.#running.delete(lease);
      this.#room.resolve();
      if (!this.#stopPulling.signal.aborted) this.#startWaiting();
    });
    this.#running.set(lease, run);
  }

  /** Messages that have not started go back at once, so that others see them. */
  async #giveBackWaiting(group?: string): Promise<void> {
    const goBack = this.#waiting.filter((one) => group === undefined || one.group === group);
    this.#waiting = this.#waiting.filter((one) => !goBack.includes(one));
    await Promise.all(goBack.map(({ lease }) => this.#options.acks.release(lease, 0)));
  }
}
