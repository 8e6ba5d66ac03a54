// A circuit breaker for each receiver. After several failures in a row the circuit opens: nothing is sent for a while, so that
// a receiver that is down costs no job its time. Then one delivery probes it while the others are still held back. Each
// worker keeps its circuits in memory.
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";

const FAILURES_IN_A_ROW = 5;
const OPEN_MS = 30_000;
const LONGEST_OPEN_MS = 600_000;
/** At most so many receivers are remembered. One that works needs no circuit. */
const REMEMBERED = 1_000;

type Circuit = {
  failures: number;
  /** On the clock's `now`. Once it has passed, the next delivery is the probe. */
  openUntil: number;
  openMs: number;
  probing: boolean;
};

export class Circuits {
  readonly #clock: Pick<Clock, "now">;
  readonly #log: Log;
  readonly #circuits = new Map<string, Circuit>();

  constructor({ clock, log }: { clock: Pick<Clock, "now">; log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Runs `work` unless the receiver's circuit is open; with `insist` even then. Throws what `work` throws, and `delivery_failed`. */
  async run(receiver: string, work: () => Promise<void>, insist = false): Promise<void> {
    const circuit = this.#circuits.get(receiver);
    if (circuit && !insist) this.#throwIfOpen(circuit);
    const isProbe = circuit !== undefined && isOpen(circuit);
    if (isProbe) circuit.probing = true;
    try {
      await work();
      this.#worked(receiver);
    } catch (thrown) {
      if (isReceiversFault(thrown)) this.#failed(receiver);
      else if (isAnswer(thrown)) this.#worked(receiver);
      throw thrown;
    } finally {
      if (isProbe) circuit.probing = false;
    }
  }

  /** How many receivers have a circuit; the number is bounded. */
  get size(): number {
    return this.#circuits.size;
  }

  #throwIfOpen(circuit: Circuit): void {
    if (!isOpen(circuit)) return;
    const left = circuit.openUntil - this.#clock.now();
    if (left <= 0 && !circuit.probing) return;
    throw new KamadoError(
      "delivery_failed",
      "The destination failed several times in a row; nothing is sent to it for a while.",
      { detail: { retryAfterMs: Math.max(left, 1_000), heldBack: true } },
    );
  }

  #worked(receiver: string): void {
    const circuit = this.#circuits.get(receiver);
    this.#circuits.delete(receiver);
    if (circuit && isOpen(circuit))
      this.#log.info({ stage: "deliver", receiver: shownOf(receiver) }, "the receiver works again");
  }

  #failed(receiver: string): void {
    const circuit = this.#circuits.get(receiver) ?? fresh();
    this.#circuits.delete(receiver);
    this.#circuits.set(receiver, circuit);
    if (this.#circuits.size > REMEMBERED) this.#circuits.delete(this.#circuits.keys().next().value!);
    circuit.failures += 1;
    // Deliveries that were in progress when it opened change nothing; only a probe does.
    if (circuit.failures < FAILURES_IN_A_ROW || circuit.openUntil > this.#clock.now()) return;
    circuit.openMs = Math.min(LONGEST_OPEN_MS, circuit.openMs === 0 ? OPEN_MS : circuit.openMs * 2);
    circuit.openUntil = this.#clock.now() + circuit.openMs;
    this.#log.warn(
      { stage: "deliver", receiver: shownOf(receiver), failures: circuit.failures },
      `nothing is sent to the receiver for ${circuit.openMs / 1_000} s`,
    );
  }
}

const fresh = (): Circuit => ({
  failures: 0,
  openUntil: Number.NEGATIVE_INFINITY,
  openMs: 0,
  probing: false,
});
const isOpen = ({ openMs }: Circuit) => openMs > 0;

/** An address without its path, which may contain a token. */
const shownOf = (receiver: string) =>
  URL.canParse(receiver) && /^https?:/.test(receiver) ? new URL(receiver).origin : receiver;

const statusOf = (thrown: unknown) => (thrown instanceof KamadoError ? thrown.detail?.httpStatus : undefined);

/** No answer, a server error or a redirect. A receiver that asks to wait (429) or refuses one delivery (4xx) works. */
function isReceiversFault(thrown: unknown): boolean {
  if (!(thrown instanceof KamadoError) || thrown.code !== "delivery_failed" || thrown.detail?.heldBack)
    return false;
  const status = statusOf(thrown);
  return status === undefined || status >= 500 || status < 400;
}

const isAnswer = (thrown: unknown) => statusOf(thrown) !== undefined;
