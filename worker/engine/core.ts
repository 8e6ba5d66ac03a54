// The engine's core: loads one backend, lets requests through the line into it, and knows how it is.
// HTTP stands in front of it (http/), the model behind it (backend.ts).
import { KamadoError, toKamadoError } from "../errors.ts";
import { JsonEnd, StopScanner } from "./answer.ts";
import type { Backend, BackendInfo, Generation, Outcome, Prepared, Token } from "./backend.ts";
import { Line, type Place } from "./line.ts";

export type State = "STARTING" | "READY" | "BUSY" | "SETUP_FAILED" | "UNHEALTHY";
export type Health = {
  state: State;
  model: string | null;
  backend: string | null;
  slots: { busy: number; total: number };
  waiting: number;
  reason?: string;
};
export type CoreOptions = { slots: number; maxQueue: number; stallMs: number };

/** A request that has its place in the line and was found good. `leave` must be called, whatever happens. */
export type Admitted = { generation: Generation; prepared: Prepared; place: Place };
/** What goes to the client: text, and the probabilities of the tokens it was made from. */
export type Piece = { text: string; tokens: Token[] };

export class Core {
  readonly line: Line;
  readonly #stallMs: number;
  #backend: Backend | undefined;
  #failure: string | undefined;
  #stopping = false;
  #progressAt = performance.now();

  constructor({ slots, maxQueue, stallMs }: CoreOptions) {
    this.line = new Line(slots, maxQueue);
    this.#stallMs = stallMs;
  }

  async load(open: () => Promise<Backend>): Promise<void> {
    try {
      this.#backend = await open();
    } catch (thrown) {
      this.#failure = toKamadoError(thrown, "engine_unavailable").message;
      throw thrown;
    }
  }

  get info(): BackendInfo | undefined {
    return this.#backend?.info;
  }

  health(): Health {
    const { busy, slots, waiting } = this.line;
    const { model = null, backend = null } = this.info ?? {};
    const base = { model, backend, slots: { busy, total: slots }, waiting };
    if (this.#failure !== undefined) return { state: "SETUP_FAILED", ...base, reason: this.#failure };
    if (!this.#backend) return { state: "STARTING", ...base };
    const quietMs = performance.now() - this.#progressAt;
    if (busy > 0 && quietMs > this.#stallMs)
      return { state: "UNHEALTHY", ...base, reason: `No token for ${Math.round(quietMs / 1_000)} s.` };
    return { state: busy >= slots ? "BUSY" : "READY", ...base };
  }

  /** A place in the line and the backend's word that the request can run; throws what the client must hear. */
  async admit(generation: Generation): Promise<Admitted> {
    const backend = this.#ready();
    const place = this.line.enter();
    try {
      return { generation, prepared: await backend.prepare(generation), place };
    } catch (thrown) {
      place.leave();
      throw thrown;
    }
  }

  /** Waits for the turn, runs, and hands out pieces as they come. Leaves the line in every case. */
  async run(
    { generation, prepared, place }: Admitted,
    onPiece: (piece: Piece) => void,
    signal: AbortSignal,
  ): Promise<Outcome> {
    try {
      await place.turn(signal);
      this.#progressAt = performance.now();
      const scanner = new StopScanner(generation.stop);
      const end = generation.schema !== undefined ? new JsonEnd() : undefined;
      const outcome = await prepared.run((token) => {
        this.#progressAt = performance.now();
        const text = scanner.push(end ? end.push(token.text) : token.text);
        onPiece({ text, tokens: [token] });
        return !scanner.stopped && !end?.closed;
      }, signal);
      const rest = scanner.flush();
      if (rest !== "") onPiece({ text: rest, tokens: [] });
      return outcome;
    } finally {
      this.#progressAt = performance.now();
      place.leave();
    }
  }

  /** Refuses what comes from now on and waits until nothing runs. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
    while (this.line.busy + this.line.waiting > 0 && !deadline.aborted)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async close(): Promise<void> {
    await this.#backend?.close();
  }

  #ready(): Backend {
    if (this.#stopping) throw new KamadoError("stopping", "The engine is stopping.");
    if (this.#failure !== undefined)
      throw new KamadoError("engine_unavailable", `The model could not be loaded: ${this.#failure}`);
    if (!this.#backend) throw new KamadoError("engine_unavailable", "The model is being loaded.");
    return this.#backend;
  }
}
