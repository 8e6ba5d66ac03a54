// Circuit breakers. After several failures in a row a circuit opens: nothing is sent for a while, so that a receiver that is
// down costs no job its time. Then one delivery probes it while the others are still held back. A destination has a circuit of
// its own, because one bad address says nothing about the others of its origin. An origin has one that counts only connections
// that did not come about. Each worker keeps its circuits in memory.
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import { KamadoError } from "../errors.ts";
import type { Destination } from "../job/envelope.ts";
import type { Log } from "../logging/log.ts";
import { keyOfName, labelOf, nameOf, originOf } from "./deliver.ts";

const FAILURES_IN_A_ROW = 5;
const OPEN_MS = 30_000;
const LONGEST_OPEN_MS = 600_000;
/** At most so many are remembered. What works needs no circuit. */
const REMEMBERED = 1_000;

type Circuit = {
  label: string;
  failures: number;
  /** On the clock's `now`. Once it has passed, the next delivery is the probe. */
  openUntil: number;
  openMs: number;
  probing: boolean;
};

/** An open circuit, for people. `key`: that of the destination (destinationKey); null for the circuit of a whole origin. */
export type OpenCircuit = { key: string | null; to: string; failures: number; leftMs: number };

/** What a circuit is for: its key, and its name for the log. */
type Subject = { key: string; label: string };

export class Circuits {
  readonly #clock: Pick<Clock, "now">;
  readonly #log: Log;
  readonly #circuits = new RecentMap<string, Circuit>(REMEMBERED);

  constructor({ clock, log }: { clock: Pick<Clock, "now">; log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Throws `delivery_failed` (held back) while a circuit of the destination is open. */
  check(destination: Destination): void {
    for (const circuit of this.#circuitsOf(destination)) this.#throwIfOpen(circuit);
  }

  /** Runs `work` unless a circuit is open; with `insist` even then. Throws what `work` throws, and what `check` throws. */
  async run(destination: Destination, work: () => Promise<void>, insist = false): Promise<void> {
    if (!insist) this.check(destination);
    const probed = this.#circuitsOf(destination).filter(isOpen);
    for (const circuit of probed) circuit.probing = true;
    try {
      await work();
      this.#judge(destination, null);
    } catch (thrown) {
      this.#judge(destination, thrown);
      throw thrown;
    } finally {
      for (const circuit of probed) circuit.probing = false;
    }
  }

  /** Those that are open: nothing is sent there until the time that is left is over and a probe works. */
  open(): OpenCircuit[] {
    return [...this.#circuits.entries()]
      .filter(([, circuit]) => isOpen(circuit))
      .map(([name, { label, failures, openUntil }]) => ({
        key: /^https?:/.test(name) ? null : keyOfName(name),
        to: label,
        failures,
        leftMs: Math.max(0, openUntil - this.#clock.now()),
      }));
  }

  /** Somebody says that a destination works: its next delivery is tried. Takes its key. */
  close(key: string): void {
    for (const [name] of [...this.#circuits.entries()])
      if (keyOfName(name) === key) this.#circuits.delete(name);
  }

  /** How many circuits there are; the number is bounded. */
  get size(): number {
    return this.#circuits.size;
  }

  #circuitsOf(destination: Destination): Circuit[] {
    return [ownSubject(destination), originSubject(destination)]
      .map((subject) => subject && this.#circuits.get(subject.key))
      .filter((circuit) => circuit !== undefined && circuit !== null);
  }

  #judge(destination: Destination, thrown: unknown): void {
    const [own, origin] = [ownSubject(destination), originSubject(destination)];
    const { httpStatus, isUnreachable, isOfItem } = detailOf(thrown);
    const didAnswer = thrown === null || httpStatus !== undefined;
    if (origin && didAnswer) this.#worked(origin);
    if (origin && isUnreachable) this.#failed(origin);
    // What a REST service answers for one of its items says nothing about the service.
    else if (isOfItem) return;
    else if (isReceiversFault(thrown)) this.#failed(own);
    else if (didAnswer) this.#worked(own);
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

  #worked({ key, label }: Subject): void {
    const circuit = this.#circuits.get(key);
    this.#circuits.delete(key);
    if (circuit && isOpen(circuit)) this.#log.info({ stage: "deliver", to: label }, "it works again");
  }

  #failed({ key, label }: Subject): void {
    const circuit = this.#circuits.get(key) ?? fresh(label);
    this.#circuits.set(key, circuit);
    circuit.failures += 1;
    // Deliveries that were in progress when it opened change nothing; only a probe does.
    if (circuit.failures < FAILURES_IN_A_ROW || circuit.openUntil > this.#clock.now()) return;
    circuit.openMs = Math.min(LONGEST_OPEN_MS, circuit.openMs === 0 ? OPEN_MS : circuit.openMs * 2);
    circuit.openUntil = this.#clock.now() + circuit.openMs;
    this.#log.warn(
      { stage: "deliver", to: label, failures: circuit.failures },
      `nothing is sent there for ${circuit.openMs / 1_000} s`,
    );
  }
}

const fresh = (label: string): Circuit => ({
  label,
  failures: 0,
  openUntil: Number.NEGATIVE_INFINITY,
  openMs: 0,
  probing: false,
});
const isOpen = ({ openMs }: Circuit) => openMs > 0;

const ownSubject = (destination: Destination): Subject => ({
  key: nameOf(destination),
  label: labelOf(destination),
});

function originSubject(destination: Destination): Subject | null {
  const origin = originOf(destination);
  return origin === null ? null : { key: origin, label: origin };
}

const detailOf = (thrown: unknown) => (thrown instanceof KamadoError && thrown.detail) || {};

/** No answer, a server error or a redirect. A receiver that asks to wait (429) or refuses one delivery (4xx) works. */
function isReceiversFault(thrown: unknown): boolean {
  if (!(thrown instanceof KamadoError) || thrown.code !== "delivery_failed") return false;
  const { httpStatus, heldBack } = detailOf(thrown);
  return !heldBack && (httpStatus === undefined || httpStatus >= 500 || httpStatus < 400);
}
