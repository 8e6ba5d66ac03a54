// Which worker runs a job, told to all of them by an object in the bucket: of two that hold the same job, by a second
// receipt or a second message, one runs it and the other gives it back. It costs a job one write before and one removal
// after it, and neither is waited for alone.
//
// Where the store keeps conditions (AWS S3, the embedded AWS, moto) exactly one worker wins. Where it takes a conditional write for
// a plain one or refuses it, which is found out once, each writes, waits a moment and looks whose writing stands: best effort,
// two that write far apart in that moment may both run the job.
import { randomUUID } from "node:crypto";
import type { Blobs, Condition } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { LINGER_MS, Lingering } from "./lingering.ts";
import { Marker } from "./marker.ts";
import { readMarker, writeMarker } from "./marker-object.ts";
import { keepsConditions } from "./marker-probe.ts";
import { holdsForMs, MARKERS, type MarkerRecord, markerKey } from "./marker-record.ts";
import { NO_DEATHS } from "./poison.ts";

export type MarkersOptions = {
  blobs: Blobs;
  bucket: string;
  worker: string;
  /** How long a message stays hidden without renewal. */
  visibilitySeconds: number;
  clock: Clock;
  log: Log;
};

/** Between writing and looking, where the store keeps no conditions. */
const SETTLE_MS = 400;
const TRIES = 4;
/** No job's: an id begins with a letter or a digit. */
const PROBE = `${MARKERS}.probe`;
/** Longer than any marker holds: what is older was left by workers that were killed, its job done or forgotten. */
const LEFT_MS = 2 * 24 * 3_600_000;

/** `lookAgain`: the result may have been stored meanwhile. */
export type Taken = { is: "ours"; marker: Marker; lookAgain: boolean } | { is: "another's"; forMs: number };

export class Markers {
  readonly #options: MarkersOptions;
  readonly #holdMs: number;
  readonly #lingering: Lingering;
  #exact: Promise<boolean> | undefined;

  constructor(options: MarkersOptions) {
    this.#options = options;
    this.#lingering = new Lingering(options);
    // A worker that died must not keep its jobs longer than their messages stay hidden: a marker is renewed as often as a
    // lease, every third of the visibility, and holds for two thirds.
    this.#holdMs = Math.ceil((options.visibilitySeconds * 2_000) / 3);
  }

  /** Throws `storage_unavailable`. */
  async take(id: string): Promise<Taken> {
    const since = this.#time();
    const isExact = await this.#isExact();
    const record = this.#record();
    const won = isExact ? await this.#takeSurely(id, record) : await this.#takeUnsurely(id, record);
    if ("forMs" in won) return { is: "another's", forMs: won.forMs };
    const { now, wall } = this.#time();
    const tookMs = Math.max(now - since.now, wall - since.wall);
    const marker = new Marker({
      ...this.#options,
      ...won,
      address: this.#at(id),
      since,
      isExact,
      linger: () => this.#lingering.add(this.#at(id)),
    });
    return { is: "ours", marker, lookAgain: tookMs >= LINGER_MS || won.wasThere };
  }

  /** Resolves when no marker of a finished job is left to be removed. */
  idle(): Promise<void> {
    return this.#lingering.idle();
  }

  async #takeSurely(id: string, record: MarkerRecord) {
    for (let tries = 0; tries < TRIES; tries++) {
      const etag = await this.#write(id, record, "absent");
      if (etag !== null) return { etag, record, wasThere: false };
      const found = await this.#read(id);
      if (!found) continue;
      const forMs = holdsForMs(found.record, found);
      if (forMs > 0) return { forMs };
      const heir = { ...record, deaths: found.record.deaths };
      const inherited = await this.#write(id, heir, { etag: found.etag });
      if (inherited !== null) return { etag: inherited, record: heir, wasThere: true };
    }
    return { forMs: this.#holdMs };
  }

  async #takeUnsurely(id: string, record: MarkerRecord) {
    const before = await this.#read(id);
    const forMs = before ? holdsForMs(before.record, before) : 0;
    if (forMs > 0) return { forMs };
    const heir = { ...record, deaths: before?.record.deaths ?? NO_DEATHS };
    await this.#write(id, heir, null);
    await this.#options.clock.sleep(SETTLE_MS);
    const after = await this.#read(id);
    if (after?.record.token !== heir.token) return { forMs: this.#holdMs };
    return { etag: after.etag, record: heir, wasThere: true };
  }

  /** Found out at an object of its own, once; asked again when the store could not be reached. */
  #isExact(): Promise<boolean> {
    this.#exact ??= this.#probe().catch((thrown) => {
      this.#exact = undefined;
      throw thrown;
    });
    return this.#exact;
  }

  async #probe(): Promise<boolean> {
    const { blobs, bucket, log } = this.#options;
    const keeps = await keepsConditions(blobs, { bucket, key: PROBE });
    if (!keeps)
      log.warn(
        { station: "markers" },
        "the store keeps no conditions on writes: two workers that get one job at the same moment may both run it",
      );
    void this.#removeLeft();
    return keeps;
  }

  /** Once a start, so that the bucket does not fill with the marks of the dead. */
  async #removeLeft(): Promise<void> {
    const { blobs, bucket, clock, log } = this.#options;
    try {
      const all = await blobs.list(bucket, MARKERS);
      const left = all.filter(({ key, modified }) => key !== PROBE && clock.wall() - modified > LEFT_MS);
      await blobs.remove(left.map(({ key }) => ({ bucket, key })));
    } catch (thrown) {
      log.debug({ station: "markers" }, `old markers stay: ${(thrown as Error).message}`);
    }
  }

  #read = (id: string) => readMarker(this.#options.blobs, this.#at(id));
  #write = (id: string, record: MarkerRecord, condition: Condition | null) =>
    writeMarker(this.#options.blobs, this.#at(id), record, condition);
  #record = (): MarkerRecord => ({
    worker: this.#options.worker,
    token: randomUUID(),
    beat: 0,
    holdMs: this.#holdMs,
    deaths: NO_DEATHS,
  });
  #at = (id: string) => ({ bucket: this.#options.bucket, key: markerKey(id) });
  #time = () => ({ now: this.#options.clock.now(), wall: this.#options.clock.wall() });
}
