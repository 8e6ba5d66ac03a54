// Whether the collector answers: says once that it does not, and once that it does again. While it does not, what would be sent is dropped,
// except for a try now and then, so that no retry holds memory or the end of the worker.
import type { Log } from "../logging/log.ts";
import { printable } from "../printable.ts";

/** OpenTelemetry's `ExportResult`: 0 is success. */
type Outcome = { code: number; error?: Error };
type Exporter<T> = { export(batch: T, done: (outcome: Outcome) => void): void };

/** From a failure to the next try. */
const PAUSE_MS = 30_000;

export class Availability {
  readonly #endpoint: string;
  readonly #log: Pick<Log, "warn" | "info">;
  readonly #now: () => number;
  #downUntil: number | undefined;

  constructor(endpoint: string, log: Pick<Log, "warn" | "info">, now = () => performance.now()) {
    this.#endpoint = endpoint;
    this.#log = log;
    this.#now = now;
  }

  get isDown(): boolean {
    return this.#downUntil !== undefined;
  }

  /** The exporter, with every outcome noted. */
  watched<T, E extends Exporter<T>>(exporter: E & Exporter<T>): E {
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
    return exporter;
  }

  #failed(error: Error | undefined): void {
    const wasDown = this.isDown;
    this.#downUntil = this.#now() + PAUSE_MS;
    if (wasDown) return;
    const why = printable(error?.message || "no answer", { max: 200 });
    this.#log.warn(
      { stage: "telemetry" },
      `the collector at ${this.#endpoint} does not take what is sent (${why}): traces and metrics are dropped until it does; jobs go on`,
    );
  }

  #answers(): void {
    if (this.isDown) this.#log.info({ stage: "telemetry" }, "the collector takes what is sent again");
    this.#downUntil = undefined;
  }
}
