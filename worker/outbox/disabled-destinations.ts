// Owns which destinations are turned off because their receiver answered 410: in the bucket, so that every worker knows it, also
// after a restart. What becomes of a delivery to such a destination is left to try-delivery.ts. After growing times one delivery
// is let through as a probe; if the receiver takes it, the destination is on again. A worker remembers for a minute that a
// destination is on. If it is off, the worker reads the bucket before every delivery, because somebody may have turned it on.
import { z } from "zod";
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import { destinationKey, labelOf } from "../deliver/deliver.ts";
import { toKamadoError } from "../errors.ts";
import type { Destination } from "../job/envelope.ts";
import type { Bucket } from "../storage/bucket.ts";
import { readStored } from "../storage/stored-json.ts";

const Disabled = z.object({
  to: z.string(),
  at: z.string(),
  reason: z.string(),
  /** Probes so far, and when the last one was sent. */
  probes: z.int().min(0).optional(),
  probedAt: z.string().optional(),
});
/** Which destination is off, since when and why. */
export type Disabled = z.output<typeof Disabled>;

/** That there is an object says that the destination is off, whatever is in it. */
const DAMAGED = { to: "unknown", reason: "its record in the bucket is damaged; a redrive turns it on" };

const FRESH_MS = 60_000;
const REMEMBERED = 1_000;
const PATIENCE_MS = 5_000;
const HOUR = 3_600_000;
/** The second probe comes two hours after the first, the third four hours after the second. */
const FIRST_PROBE_MS = HOUR;
const LONGEST_PROBE_MS = 24 * HOUR;

export class DisabledDestinations {
  readonly #bucket: Bucket;
  readonly #clock: Pick<Clock, "now" | "wall">;
  readonly #cache = new RecentMap<string, { disabled: Disabled | null; at: number }>(REMEMBERED);

  constructor(options: { bucket: Bucket; clock: Pick<Clock, "now" | "wall"> }) {
    this.#bucket = options.bucket;
    this.#clock = options.clock;
  }

  /** Why a destination is off; null when it is on, when this delivery is to probe it, or when the bucket cannot be read. */
  async off(destination: Destination): Promise<Disabled | null> {
    // A topic or a queue that is gone is reported by AWS itself.
    if (!("callback" in destination || "rest" in destination)) return null;
    const key = destinationKey(destination);
    const cached = this.#cache.get(key);
    if (cached?.disabled === null && this.#clock.now() - cached.at < FRESH_MS) return null;
    try {
      const found = await this.#read(key);
      this.#remember(key, found?.disabled ?? null);
      return found && !(await this.#isProbe(key, found)) ? found.disabled : null;
    } catch {
      return this.#remember(key, cached?.disabled ?? null);
    }
  }

  /** Throws what the bucket throws; this worker knows it in any case. */
  async turnOff(destination: Destination, reason: string): Promise<void> {
    const key = destinationKey(destination);
    const at = this.#now();
    // A probe that failed must not begin the times between probes anew.
    const disabled = { at, ...this.#cache.get(key)?.disabled, to: labelOf(destination), reason };
    this.#remember(key, disabled);
    await this.#bucket.put(objectKey(key), JSON.stringify(disabled), { contentType: "application/json" });
  }

  /** Takes a destination or its key. */
  async turnOn(destination: Destination | string): Promise<void> {
    const key = typeof destination === "string" ? destination : destinationKey(destination);
    await this.#bucket.remove([objectKey(key)]);
    this.#cache.delete(key);
  }

  /** The receiver took a delivery: a destination that was off is on again. If that cannot be written, a later probe does it. */
  async worked(destination: Destination): Promise<void> {
    if (this.#cache.get(destinationKey(destination))?.disabled)
      await this.turnOn(destination).catch(() => {});
  }

  async all(): Promise<(Disabled & { key: string })[]> {
    const found = await this.#bucket.list("destinations/");
    const keys = found
      .map(({ key }) => /^destinations\/([0-9a-f]+)\.off$/.exec(key)?.[1])
      .filter((key) => key !== undefined);
    const all = await Promise.all(keys.map(async (key) => ({ key, found: await this.#read(key) })));
    return all.flatMap(({ key, found }) => (found ? [{ key, ...found.disabled }] : []));
  }

  async #read(key: string): Promise<OffRecord | null> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const stored = await readStored(this.#bucket, objectKey(key), Disabled, { maxBytes: 64 * 1024, signal });
    if (stored.is === "damaged") return { disabled: { ...DAMAGED, at: this.#now() }, etag: "" };
    return stored.is === "found" ? { disabled: stored.value, etag: stored.etag } : null;
  }

  /** Of several deliveries that find a probe due, the one whose write succeeds is the probe. */
  async #isProbe(key: string, { disabled, etag }: OffRecord): Promise<boolean> {
    if (this.#clock.wall() < nextProbeAt(disabled)) return false;
    const probed = { ...disabled, probes: (disabled.probes ?? 0) + 1, probedAt: this.#now() };
    const body = JSON.stringify(probed);
    const isWritten = await this.#bucket.putIf(objectKey(key), body, { etag }).then(
      (written) => written !== null,
      // Without conditional writes several may probe at the same time, which does no harm.
      (thrown) => toKamadoError(thrown, "storage_unavailable").detail?.supportsConditions === false,
    );
    if (isWritten) this.#remember(key, probed);
    return isWritten;
  }

  #remember(key: string, disabled: Disabled | null): Disabled | null {
    this.#cache.set(key, { disabled, at: this.#clock.now() });
    return disabled;
  }

  #now(): string {
    return new Date(this.#clock.wall()).toISOString();
  }
}

type OffRecord = { disabled: Disabled; etag: string };

/** When a destination that is off is tried again, epoch ms. Pure. */
export function nextProbeAt({ at, probedAt, probes = 0 }: Disabled): number {
  return Date.parse(probedAt ?? at) + Math.min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 2 ** probes);
}

const objectKey = (key: string) => `destinations/${key}.off`;
