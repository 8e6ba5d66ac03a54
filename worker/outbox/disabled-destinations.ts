// Which destinations are turned off: a receiver that answered 410 wants nothing more. Kept in the bucket, so that every
// worker knows it and a restart forgets nothing. That one is on is believed for a minute; that it is off, never: a person
// may just have turned it on.
import { z } from "zod";
import type { Clock } from "../async/clock.ts";
import { destinationKey, labelOf } from "../deliver/deliver.ts";
import { toKamadoError } from "../errors.ts";
import type { Destination } from "../job/envelope.ts";
import type { Bucket } from "../storage/bucket.ts";

const Mark = z.object({ to: z.string(), at: z.string(), reason: z.string() });
export type Mark = z.output<typeof Mark>;

const FRESH_MS = 60_000;
const REMEMBERED = 1_000;
const PATIENCE_MS = 5_000;

export class DisabledDestinations {
  readonly #bucket: Bucket;
  readonly #clock: Pick<Clock, "now" | "wall">;
  readonly #seen = new Map<string, { mark: Mark | null; at: number }>();

  constructor(options: { bucket: Bucket; clock: Pick<Clock, "now" | "wall"> }) {
    this.#bucket = options.bucket;
    this.#clock = options.clock;
  }

  /** Why a destination is off; null when it is on, or when the bucket does not say. */
  async off(destination: Destination): Promise<Mark | null> {
    // A topic or a queue that is gone says so itself.
    if (!("callback" in destination || "rest" in destination)) return null;
    const key = destinationKey(destination);
    const seen = this.#seen.get(key);
    if (seen?.mark === null && this.#clock.now() - seen.at < FRESH_MS) return null;
    return this.#remember(key, await this.#read(key).catch(() => seen?.mark ?? null));
  }

  /** Throws what writing throws; this worker knows it in any case. */
  async turnOff(destination: Destination, reason: string): Promise<void> {
    const mark = { to: labelOf(destination), at: new Date(this.#clock.wall()).toISOString(), reason };
    const key = destinationKey(destination);
    this.#remember(key, mark);
    await this.#bucket.put(keyOf(key), JSON.stringify(mark), { contentType: "application/json" });
  }

  /** By its key, for who knows only that. */
  async turnOn(destination: Destination | string): Promise<void> {
    const key = typeof destination === "string" ? destination : destinationKey(destination);
    await this.#bucket.remove([keyOf(key)]);
    this.#seen.delete(key);
  }

  async all(): Promise<(Mark & { key: string })[]> {
    const found = await this.#bucket.list("destinations/");
    const keys = found
      .map(({ key }) => /^destinations\/([0-9a-f]+)\.off$/.exec(key)?.[1])
      .filter((key) => key !== undefined);
    const marks = await Promise.all(keys.map(async (key) => ({ key, mark: await this.#read(key) })));
    return marks.flatMap(({ key, mark }) => (mark ? [{ key, ...mark }] : []));
  }

  async #read(key: string): Promise<Mark | null> {
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const { bytes } = await this.#bucket.get(keyOf(key), { maxBytes: 64 * 1024, signal });
      return Mark.parse(JSON.parse(new TextDecoder().decode(bytes)));
    } catch (thrown) {
      if (toKamadoError(thrown, "storage_unavailable").code === "object_not_found") return null;
      throw thrown;
    }
  }

  #remember(key: string, mark: Mark | null): Mark | null {
    this.#seen.delete(key);
    this.#seen.set(key, { mark, at: this.#clock.now() });
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value!);
    return mark;
  }
}

const keyOf = (destination: string) => `destinations/${destination}.off`;
