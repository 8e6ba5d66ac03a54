// What one run holds of its job besides the message's lease: the claim in this process, the marker among all workers, and
// an open ear for the sender's change of mind. Taken in attempt.ts, confirmed before every effect, given up at the end.
import { Cancellations } from "./cancellations.ts";
import { Claims } from "./claims.ts";
import type { Marker } from "./marker.ts";
import { Markers, type MarkersOptions, type Taken } from "./markers.ts";

export type Holds = { claims: Claims; markers: Markers; cancellations: Cancellations };

/** What all runs of one worker hold their jobs by. */
export const createHolds = (options: MarkersOptions): Holds => ({
  claims: new Claims(),
  markers: new Markers(options),
  cancellations: new Cancellations(options),
});

const NEVER = new AbortController().signal;

export class Hold {
  readonly #holds: Holds;
  readonly #claim;
  #id: string | undefined;
  #taking: Promise<Taken> | undefined;
  #marker: Marker | undefined;

  constructor(holds: Holds) {
    this.#holds = holds;
    this.#claim = holds.claims.open();
  }

  /** False when the job runs in this process already. */
  claim(id: string): boolean {
    return this.#claim.take(id);
  }

  /** Whether the job is ours among all workers. Throws `storage_unavailable`. */
  async take(id: string): Promise<Taken> {
    this.#taking = this.#holds.markers.take(id);
    const taken = await this.#taking;
    if (taken.is === "ours") this.#marker = taken.marker;
    return taken;
  }

  /** Fires with `canceled` when the sender takes the job back. */
  watch(id: string): Promise<AbortSignal> {
    this.#id = id;
    return this.#holds.cancellations.watch(id);
  }

  /** Fires when another worker has the job. */
  get lost(): AbortSignal {
    return this.#marker?.signal ?? NEVER;
  }

  /** Throws `storage_unavailable`. */
  async confirm(): Promise<boolean> {
    return this.#marker === undefined || this.#marker.confirm();
  }

  /** Never throws. A job that others may run next is free when this resolves. */
  async end(how: "done" | "again"): Promise<void> {
    // A run that failed early may still be taking its marker.
    await this.#taking?.catch(() => {});
    await this.#marker?.end(how);
    if (this.#id !== undefined) this.#holds.cancellations.forget(this.#id, how);
    this.#claim.close();
  }
}
