// Whether the engine can be asked. Messages are not pulled while it cannot: a job that waits in the queue loses nothing,
// a job that fails for want of an engine loses an attempt.
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { backoffMs } from "./backoff.ts";

const PROBE_BACKOFF = { baseMs: 200, maxMs: 15_000 };

export class EngineGate {
  readonly #probe: () => Promise<boolean>;
  readonly #clock: Clock;
  readonly #log: Log;
  #open = false;

  /** `probe` says whether the engine answers now; it must not throw. */
  constructor(options: { probe(): Promise<boolean>; clock: Clock; log: Log }) {
    this.#probe = options.probe;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** A job could not reach the engine: look before the next pull. */
  suspect(): void {
    this.#open = false;
  }

  /** Resolves when the engine answers, or when the signal fires. */
  async ready(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !this.#open && !signal.aborted; failures++) {
      this.#open = await this.#probe();
      if (this.#open && failures > 0) this.#log.info({ station: "engine" }, "the engine answers");
      if (!this.#open && failures === 3)
        this.#log.warn({ station: "engine" }, "waiting for the engine; jobs stay in the queue");
      if (!this.#open) await this.#clock.sleep(backoffMs(failures + 1, PROBE_BACKOFF), signal);
    }
  }
}
