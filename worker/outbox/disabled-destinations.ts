// Owns which destinations are turned off because their receiver answered 410: in the bucket, so that every worker knows it, also
// after a restart. What becomes of a delivery to such a destination is left to try-delivery.ts. A worker remembers for a minute
// that a destination is on. If it is off, the worker reads the bucket before every delivery, because a person may have turned it
// on.
import { z } from "zod";
import type { Clock } from "../async/clock.ts";
import { destinationKey, labelOf } from "../deliver/deliver.ts";
import type { Destination } from "../job/envelope.ts";
import type { Bucket } from "../storage/bucket.ts";
import { readStored } from "../storage/stored-json.ts";

const Disabled = z.object({ to: z.string(), at: z.string(), reason: z.string() });
/** Which destination is off, since when and why. */
export type Disabled = z.output<typeof Disabled>;

/** That there is an object says that the destination is off, whatever is in it. */
const DAMAGED = { to: "unknown", reason: "its record in the bucket is damaged; a redrive turns it on" };

const FRESH_MS = 60_000;
const REMEMBERED = 1_000;
const PATIENCE_MS = 5_000;

export class DisabledDestinations {
  readonly #bucket: Bucket;
  readonly #clock: Pick<Clock, "now" | "wall">;
  readonly #cache = new Map<string, { disabled: Disabled | null; at: number }>();

  constructor(options: { bucket: Bucket; clock: Pick<Clock, "now" | "wall"> }) {
    this.#bucket = options.bucket;
    this.#clock = options.clock;
  }

  /** Why a destination is off; null when it is on, or when the bucket cannot be read. */
  async off(destination: Destination): Promise<Disabled | null> {
    // A topic or a queue that is gone is reported by AWS itself.
    if (!("callback" in destination || "rest" in destination)) return null;
    const key = destinationKey(destination);
    const cached = this.#cache.get(key);
    if (cached?.disabled === null && this.#clock.now() - cached.at < FRESH_MS) return null;
    return this.#remember(key, await this.#read(key).catch(() => cached?.disabled ?? null));
  }

  /** Throws what the bucket throws; this worker knows it in any case. */
  async turnOff(destination: Destination, reason: string): Promise<void> {
    const disabled = { to: labelOf(destination), at: new Date(this.#clock.wall()).toISOString(), reason };
    const key = destinationKey(destination);
    this.#remember(key, disabled);
    await this.#bucket.put(objectKey(key), JSON.stringify(disabled), { contentType: "application/json" });
  }

  /** Takes a destination or its key. */
  async turnOn(destination: Destination | string): Promise<void> {
    const key = typeof destination === "string" ? destination : destinationKey(destination);
    await this.#bucket.remove([objectKey(key)]);
    this.#cache.delete(key);
  }

  async all(): Promise<(Disabled & { key: string })[]> {
    const found = await this.#bucket.list("destinations/");
    const keys = found
      .map(({ key }) => /^destinations\/([0-9a-f]+)\.off$/.exec(key)?.[1])
      .filter((key) => key !== undefined);
    const all = await Promise.all(keys.map(async (key) => ({ key, disabled: await this.#read(key) })));
    return all.flatMap(({ key, disabled }) => (disabled ? [{ key, ...disabled }] : []));
  }

  async #read(key: string): Promise<Disabled | null> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const stored = await readStored(this.#bucket, objectKey(key), Disabled, { maxBytes: 64 * 1024, signal });
    if (stored.is === "damaged") return { ...DAMAGED, at: new Date(this.#clock.wall()).toISOString() };
    return stored.is === "found" ? stored.value : null;
  }

  #remember(key: string, disabled: Disabled | null): Disabled | null {
    this.#cache.delete(key);
    this.#cache.set(key, { disabled, at: this.#clock.now() });
    if (this.#cache.size > REMEMBERED) this.#cache.delete(this.#cache.keys().next().value!);
    return disabled;
  }
}

const objectKey = (key: string) => `destinations/${key}.off`;
