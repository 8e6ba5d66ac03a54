// The steps of a long job, each done once: what a step found is a checkpoint of the job, and another run of the job takes it from there.
// Owns the names of steps and what becomes of a run whose checkpoints cannot be reached: it goes on without them.
import { createHash } from "node:crypto";
import type { z } from "zod";
import { KamadoError } from "../errors.ts";
import type { Checkpoints } from "./handler.ts";

const NAME_CHARACTERS = 32;

export class SavedSteps {
  readonly #checkpoints: Checkpoints;
  readonly #onOutage: (error: KamadoError) => void;
  #isAway = false;
  /** How many steps of each kind an earlier run had done. */
  readonly found = new Map<string, number>();

  /** `onOutage` is told once. */
  constructor(checkpoints: Checkpoints, onOutage: (error: KamadoError) => void) {
    this.#checkpoints = checkpoints;
    this.#onOutage = onOutage;
  }

  /**
   * What the step found, or finds now. `of` is all that its value depends on: with another question or model it is another step. A value
   * that does not fit `schema` was written by another version, and the step is done again.
   */
  async once<S extends z.ZodType>(
    kind: string,
    of: readonly unknown[],
    schema: S,
    work: () => Promise<z.input<S>>,
  ): Promise<z.output<S>> {
    const name = stepName(kind, of);
    const saved = schema.safeParse(await this.#orAway(this.#checkpoints.get(name)));
    if (saved.success) {
      this.found.set(kind, (this.found.get(kind) ?? 0) + 1);
      return saved.data;
    }
    const value = await work();
    await this.#orAway(this.#checkpoints.put(name, value));
    return schema.parse(value);
  }

  /** Without a checkpoint a run that is interrupted does more again; to end it for that would cost all of it. */
  async #orAway(call: Promise<unknown>): Promise<unknown> {
    try {
      return await call;
    } catch (thrown) {
      if (!(thrown instanceof KamadoError) || !AWAY.includes(thrown.code)) throw thrown;
      if (!this.#isAway) this.#onOutage(thrown);
      this.#isAway = true;
      return undefined;
    }
  }
}

const AWAY: readonly string[] = ["storage_unavailable", "object_forbidden", "permission_missing"];

const stepName = (kind: string, of: readonly unknown[]): string =>
  `${kind}-${createHash("sha256").update(JSON.stringify(of)).digest("hex").slice(0, NAME_CHARACTERS)}`;
