// How many deliveries a receiver gets at a time, how fast, and the pauses it asks for (Retry-After). A receiver is an entry of
// the destinations file, else an origin, a topic or a queue. One without deliveries is forgotten.
import Bottleneck from "bottleneck";
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Destination } from "../job/envelope.ts";
import type { Destinations } from "../outbound/destinations.ts";
import { receiverOf } from "./deliver.ts";

const MAX_CONCURRENT = 8;
/** An origin may stand for many receivers: one that asks for a pause must not stop the others for long. */
const LONGEST_PAUSE_MS = 60_000;

type Receiver = { limiter: Bottleneck; deliveries: number; pausedUntil: number };

export class Pace {
  readonly #destinations: Destinations;
  readonly #clock: Pick<Clock, "now">;
  readonly #receivers = new Map<string, Receiver>();

  constructor({ destinations, clock }: { destinations: Destinations; clock: Pick<Clock, "now"> }) {
    this.#destinations = destinations;
    this.#clock = clock;
  }

  /** Runs `work` when its turn comes. Throws what `work` throws, and `delivery_failed` during a pause, which `insist` ignores. */
  async run(
    destination: Destination,
    signal: AbortSignal | undefined,
    work: () => Promise<void>,
    insist = false,
  ): Promise<void> {
    const receiver = this.#receiver(receiverOf(this.#destinations, destination));
    receiver.deliveries += 1;
    const turn = receiver.limiter
      .schedule(async () => {
        signal?.throwIfAborted();
        if (!insist) this.#throwIfPaused(receiver);
        await work().catch((thrown) => this.#noteRetryAfter(receiver, thrown));
      })
      .finally(() => {
        receiver.deliveries -= 1;
      });
    await (signal ? unlessAborted(turn, signal) : turn);
  }

  /** How many receivers are known; the number is bounded. */
  get size(): number {
    return this.#receivers.size;
  }

  #receiver(name: string): Receiver {
    const existing = this.#receivers.get(name);
    if (existing) return existing;
    this.#forgetIdle();
    const known = this.#destinations.find(({ match }) => match === name);
    const limiter = new Bottleneck({
      maxConcurrent: known?.maxConcurrent ?? MAX_CONCURRENT,
      minTime: known?.maxPerSecond === undefined ? 0 : 1_000 / known.maxPerSecond,
    });
    const receiver = { limiter, deliveries: 0, pausedUntil: Number.NEGATIVE_INFINITY };
    this.#receivers.set(name, receiver);
    return receiver;
  }

  /** Jobs may name ever new destinations. Those of the file stay, because their limit has to know the time of the last delivery. */
  #forgetIdle(): void {
    const known = new Set(this.#destinations.map(({ match }) => match));
    for (const [name, { deliveries, pausedUntil }] of this.#receivers)
      if (deliveries === 0 && pausedUntil <= this.#clock.now() && !known.has(name))
        this.#receivers.delete(name);
  }

  #throwIfPaused({ pausedUntil }: Receiver): void {
    const retryAfterMs = pausedUntil - this.#clock.now();
    if (retryAfterMs > 0)
      throw new KamadoError("delivery_failed", "The destination asked for a pause.", {
        detail: { retryAfterMs, heldBack: true },
      });
  }

  #noteRetryAfter(receiver: Receiver, thrown: unknown): never {
    const { httpStatus, retryAfterMs } = (thrown instanceof KamadoError && thrown.detail) || {};
    if ((httpStatus === 429 || httpStatus === 503) && retryAfterMs !== undefined)
      receiver.pausedUntil = this.#clock.now() + Math.min(retryAfterMs, LONGEST_PAUSE_MS);
    throw thrown;
  }
}
