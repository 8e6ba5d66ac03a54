// Runs completions beside each other: when the library may be spoken to, what its slots hold, how many pictures were looked
// at, and a second attempt without the saved state that would not load.
import { KamadoError } from "../../../errors.ts";
import { Gate } from "./gate.ts";
import type { CompletionOptions, NativeContext, NativeResult, NativeToken } from "./native.ts";
import { failed, runOnce } from "./run.ts";
import { Seats } from "./seats.ts";
import { picturesWithin, type Sequence, usable } from "./sequence.ts";
import type { StateFile, StateFiles } from "./state-files.ts";

export type Run = {
  options: CompletionOptions;
  sequence: Sequence;
  load?: StateFile | undefined;
  /** The whole prompt is saved there. */
  save?: Save | undefined;
  onPiece(piece: NativeToken): void;
  /** A further step of a request whose pictures were counted. */
  again?: boolean;
};
/** `done` is called when the file has been written, or will not be; all calls give the same answer. */
export type Save = { path: string; done(): Promise<StateFile | undefined> };

export class Runner {
  readonly seats: Seats;
  readonly pictures = { encoded: 0, reused: 0 };
  readonly #context: NativeContext;
  readonly #files: StateFiles;
  readonly #gate = new Gate();

  constructor(context: NativeContext, files: StateFiles, slots: number) {
    this.#context = context;
    this.#files = files;
    this.seats = new Seats(slots);
  }

  async run(run: Run, signal: AbortSignal): Promise<NativeResult> {
    const result = await this.#attempt(run, signal);
    if (failed(result) && run.load !== undefined) {
      this.#files.drop(run.load);
      return this.run({ ...run, load: undefined, save: undefined }, signal);
    }
    if (failed(result)) throw new KamadoError("engine_unavailable", "The library gave the request up.");
    this.#count(run, result.timings.cache_n);
    return result;
  }

  async #attempt(run: Run, signal: AbortSignal): Promise<NativeResult> {
    const { sequence, save } = run;
    const looks = picturesWithin(sequence, this.#warm(run)) < sequence.pictures.length;
    await this.#gate.enter(looks, signal).catch(async (thrown) => {
      await save?.done();
      throw thrown;
    });
    const load = this.#wanted(run);
    if (load) load.readers++;
    const seat = this.seats.take(sequence);
    const heard = {
      onBegun: () => {
        if (load) load.readers--;
        if (looks) this.#gate.leave();
        void save?.done();
      },
      onPiece: (piece: NativeToken) => {
        this.seats.said(seat);
        run.onPiece(piece);
      },
      onGone: () => this.seats.free(seat),
    };
    return runOnce(this.#context, optionsOf(run, load), heard, signal);
  }

  #warm({ sequence, load }: Run): number {
    return Math.max(this.seats.warm(sequence), load ? usable(load.sequence, sequence) : 0);
  }

  /** Not when the slot itself holds as much. Which one the library takes is a guess, and a picture is dearer than a file. */
  #wanted({ sequence, load }: Run): StateFile | undefined {
    if (load === undefined) return undefined;
    const holds = this.seats.warm(sequence) >= usable(load.sequence, sequence);
    if (holds && sequence.pictures.length === 0) return undefined;
    load.usedAt = performance.now();
    return load;
  }

  #count({ sequence, again = false }: Run, cached: number): void {
    const reused = picturesWithin(sequence, cached);
    if (!again) this.pictures.reused += reused;
    this.pictures.encoded += sequence.pictures.length - reused;
  }
}

function optionsOf({ options, save }: Run, load: StateFile | undefined): CompletionOptions {
  return {
    ...options,
    ...(load && { load_state_path: load.path }),
    ...(save && { save_prompt_state_path: save.path }),
  };
}
