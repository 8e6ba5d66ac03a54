// Markers of jobs that are done: each stays a while, then they are removed together. A marker that is not removed runs out
// by itself, and its job's result is found first.
import type { Blobs, ObjectAddress } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";

/**
 * A worker looks for a stored result at the same time as it takes the marker; when both answers came within this, no job
 * can have been stored and its marker removed between the two.
 */
export const LINGER_MS = 500;

export class Lingering {
  readonly #options: { blobs: Blobs; clock: Clock; log: Log };
  #leaving: { address: ObjectAddress; since: number }[] = [];
  #sweep: Promise<void> | undefined;

  constructor(options: { blobs: Blobs; clock: Clock; log: Log }) {
    this.#options = options;
  }

  add(address: ObjectAddress): void {
    this.#leaving.push({ address, since: this.#options.clock.now() });
    this.#sweep ??= this.#sweepAll().finally(() => {
      this.#sweep = undefined;
    });
  }

  /** Resolves when none is left. */
  async idle(): Promise<void> {
    await this.#sweep;
  }

  async #sweepAll(): Promise<void> {
    const { blobs, clock, log } = this.#options;
    while (this.#leaving.length > 0) {
      await clock.sleep(LINGER_MS);
      const before = clock.now() - LINGER_MS;
      const due = this.#leaving.filter(({ since }) => since <= before);
      this.#leaving = this.#leaving.filter((one) => !due.includes(one));
      await blobs
        .remove(due.map(({ address }) => address))
        .catch((thrown) => log.debug({ station: "markers" }, `markers stay behind: ${thrown.message}`));
    }
  }
}
