// How many deliveries a destination gets at a time and how fast, and the quiet it asked for. One line a destination of
// the destinations file, else one an origin, topic or queue; a line that nobody stands in is forgotten.
import Bottleneck from "bottleneck";
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Destination } from "../job/envelope.ts";
import type { Destinations } from "../outbound/destinations.ts";
import { receiverOf } from "./deliver.ts";

const MAX_CONCURRENT = 8;
/** One receiver among many behind an origin must not silence the others for long. */
const LONGEST_QUIET_MS = 60_000;

type Line = { limiter: Bottleneck; standing: number; quietUntil: number };

export class Pace {
  readonly #destinations: Destinations;
  readonly #clock: Pick<Clock, "now">;
  readonly #lines = new Map<string, Line>();

  constructor({ destinations, clock }: { destinations: Destinations; clock: Pick<Clock, "now"> }) {
    this.#destinations = destinations;
    this.#clock = clock;
  }

  /** Runs `work` when it is its turn. Throws what it throws, and `delivery_failed` while the destination wants quiet; `insist` does not heed that. */
  async run(
    destination: Destination,
    signal: AbortSignal | undefined,
    work: () => Promise<void>,
    insist = false,
  ): Promise<void> {
    const line = this.#receiverOf(receiverOf(this.#destinations, destination));
    line.standing += 1;
    const turn = line.limiter
      .schedule(async () => {
        signal?.throwIfAborted();
        if (!insist) this.#throwIfQuiet(line);
        await work().catch((thrown) => this.#heed(line, thrown));
      })
      .finally(() => {
        line.standing -= 1;
      });
    await (signal ? unlessAborted(turn, signal) : turn);
  }

  /** How many lines there are; they must not pile up. */
  get size(): number {
    return this.#lines.size;
  }

  #receiverOf(name: string): Line {
    const existing = this.#lines.get(name);
    if (existing) return existing;
    this.#forgetIdle();
    const known = this.#destinations.find(({ match }) => match === name);
    const limiter = new Bottleneck({
      maxConcurrent: known?.maxConcurrent ?? MAX_CONCURRENT,
      minTime: known?.maxPerSecond === undefined ? 0 : 1_000 / known.maxPerSecond,
    });
    const line = { limiter, standing: 0, quietUntil: Number.NEGATIVE_INFINITY };
    this.#lines.set(name, line);
    return line;
  }

  /** Jobs may name ever new destinations. Known ones stay: a new line would not know when the last delivery went. */
  #forgetIdle(): void {
    const known = new Set(this.#destinations.map(({ match }) => match));
    for (const [name, { standing, quietUntil }] of this.#lines)
      if (standing === 0 && quietUntil <= this.#clock.now() && !known.has(name)) this.#lines.delete(name);
  }

  #throwIfQuiet(line: Line): void {
    const retryAfterMs = line.quietUntil - this.#clock.now();
    if (retryAfterMs > 0)
      throw new KamadoError("delivery_failed", "The destination asked to be left alone for a while.", {
        detail: { retryAfterMs, heldBack: true },
      });
  }

  #heed(line: Line, thrown: unknown): never {
    const { httpStatus, retryAfterMs } = (thrown instanceof KamadoError && thrown.detail) || {};
    if ((httpStatus === 429 || httpStatus === 503) && retryAfterMs !== undefined)
      line.quietUntil = this.#clock.now() + Math.min(retryAfterMs, LONGEST_QUIET_MS);
    throw thrown;
  }
}
