// Whether the collector answers: says once that it does not, and once that it does again. While it does not, what would be sent is dropped,
// except for a try now and then, so that no retry holds memory or the end of the worker.
import type { Log } from "../logging/log.ts";
import { printable } from "../printable.ts";

/** OpenTelemetry's `ExportResult`: 0 is success. */
type Outcome = { code: number; error?: Error };
/** The part that all of its exporters have. */
export type Exporter<T> = { export(batch: T, done: (outcome: Outcome) => void): void };

type Options = {
  /** What is sent. */
  what: string;
  /** The collector's address. */
  at: string;
  log: Pick<Log, "warn" | "info">;
  now?: () => number;
};

/** From a failure to the next try. */
const PAUSE_MS = 30_000;

export class Availability {
  readonly #options: Options;
  readonly #now: () => number;
  #downUntil: number | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get isDown(): boolean {
    return this.#downUntil !== undefined;
  }

  /** From now on every outcome of the exporter is noted. */
  watch<T>(exporter: Exporter<T>): void {
    const send = exporter.export.bind(exporter);
    exporter.export = (batch, done) => {
      if (this.#downUntil !== undefined && this.#now() < this.#downUntil)
        return done({ code: 1, error: new Error("the collector does not answer") });
      send(batch, (outcome) => {
        if (outcome.code === 0) this.#answers();
        else this.#failed(outcome.error);
        done(outcome);
      });
    };
  }

  #failed(error: Error | undefined): void {
    const wasDown = this.isDown;
    this.#downUntil = this.#now() + PAUSE_MS;
    if (wasDown) return;
    const { what, at, log } = this.#options;
    const why = printable(error?.message || "no answer", { max: 200 });
    log.warn(
      { stage: "telemetry" },
      `the collector at ${at} does not take ${what} (${why}): they are dropped until it does; jobs go on`,
    );
  }

  #answers(): void {
    const { what, at, log } = this.#options;
    if (this.isDown) log.info({ stage: "telemetry" }, `the collector at ${at} takes ${what} again`);
    this.#downUntil = undefined;
  }
}
