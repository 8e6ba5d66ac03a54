// Runs completions beside each other: when the library may be spoken to, what its slots hold, how many pictures were looked
// at, and a second attempt without the saved state that would not load.
import { KamadoError } from "../../../errors.ts";
import type { CompletionOptions, NativeContext, NativeResult, NativeToken } from "./native.ts";
import { picturesWithin, type Sequence, SlotStats, usable } from "./slot-use.ts";
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
  readonly seats: SlotStats;
  readonly pictures = { encoded: 0, reused: 0 };
  readonly #context: NativeContext;
  readonly #files: StateFiles;
  readonly #gate = new Gate();

  constructor(context: NativeContext, files: StateFiles, slots: number) {
    this.#context = context;
    this.#files = files;
    this.seats = new SlotStats(slots);
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

// One completion through the library's own batching: queued, heard piece by piece, cut off when its client goes away.
export type Heard = {
  /** A piece is a token, or several that only together are whole characters. */
  onPiece(piece: NativeToken): void;
  /** Once: the prompt has been evaluated, what was to be loaded is loaded, and what was to be saved of it is saved. */
  onBegun(): void;
  /** Once, when the library is done with it; later than the promise for a request that was cut off. */
  onGone(): void;
};

/**
 * The library cancels without its lock, and a cancel that comes while it books what a step brought may end the process. So
 * it comes a moment after a piece: then the next step is being computed, which is nearly all of the time.
 */
const AFTER_PIECE_MS = 2;

export function runOnce(
  { ctx }: NativeContext,
  options: CompletionOptions,
  heard: Heard,
  signal: AbortSignal,
): Promise<NativeResult> {
  const { promise, resolve, reject } = Promise.withResolvers<NativeResult>();
  let [begun, over, left, isGone] = [false, false, false, false];
  const begin = () => {
    if (!begun) heard.onBegun();
    begun = true;
  };
  const gone = () => {
    if (isGone) return;
    isGone = true;
    begin();
    heard.onGone();
  };
  const leave = () => {
    if (!isGone) ctx.cancelRequest(requestId);
    gone();
  };
  const leaveSoon = () => {
    if (!left) setTimeout(leave, AFTER_PIECE_MS);
    left = true;
  };
  const settle = (how: () => void) => {
    over = true;
    signal.removeEventListener("abort", cut);
    how();
  };
  const cut = () => {
    // While the library looks at pictures it does not stop, and whoever speaks to it would stand still.
    if (!begun && options.media_paths === undefined) leave();
    settle(() => reject(signal.reason));
  };
  const hear = (error: unknown, result: NativeToken | NativeResult | undefined) => {
    const last = result?.token === undefined;
    if (over) return last ? gone() : leaveSoon();
    if (last) gone();
    else begin();
    if (result === undefined || error) settle(() => reject(errorOf(error)));
    else if (result.token === undefined) settle(() => resolve(result));
    else heard.onPiece(result);
  };
  let requestId: number;
  try {
    signal.throwIfAborted();
    ({ requestId } = ctx.queueCompletion(options, hear));
  } catch (thrown) {
    gone();
    throw thrown;
  }
  signal.addEventListener("abort", cut, { once: true });
  return promise;
}

const errorOf = (error: unknown) =>
  error instanceof Error ? error : new Error(error ? String(error) : "the library said nothing");

/** The library tells of no failure: an answer that ended for none of its reasons is one. */
export function failed({ stopped_eos, stopped_limit, stopped_word, context_full }: NativeResult): boolean {
  return !(stopped_eos || stopped_limit || stopped_word || context_full);
}

// One picture at a time: while the library looks at one it stands still, and whoever speaks to it stands still with it, the
// whole process included. So nobody does; who came meanwhile goes in before the next picture.
export class Gate {
  #closed = false;
  readonly #pictures: (() => void)[] = [];
  readonly #texts: (() => void)[] = [];

  /** Resolves when the library may be spoken to. Who brings a picture calls `leave` when it has been looked at. */
  async enter(picture: boolean, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#closed) await this.#wait(picture ? this.#pictures : this.#texts, signal);
    if (picture) this.#closed = true;
  }

  leave(): void {
    for (const go of this.#texts.splice(0)) go();
    const next = this.#pictures.shift();
    if (next) next();
    else this.#closed = false;
  }

  /** Who is let in is in, even if its client goes away at that very moment. */
  #wait(line: (() => void)[], signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const go = () => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = () => {
      line.splice(line.indexOf(go), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    line.push(go);
    return promise;
  }
}
