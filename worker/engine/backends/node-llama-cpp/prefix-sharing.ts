// Prefix sharing between slots: a prefix that several prompts begin with is evaluated once and copied to the others. Knows who
// holds what; how a prompt should start is decided in schedule.ts, and the loop that calls this owns the time.
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import type { Logger } from "pino";
import { RadixTree, sharedPrefix } from "../../prefix-cache/radix-tree.ts";
import type { SavedPrefixes } from "../../prefix-cache/saved-states.ts";
import type { Saved } from "../../prefix-cache/state-files.ts";
import { type Job, Slot } from "./slot.ts";
import { chooseStart, cutOf, giveWay, type Holder, MIN_COPY, nearest } from "./step-plan.ts";

type Source = Slot | Saved;
const RECENT = 256;
/** So many recent prompts that begin alike show where they part. */
const ALIKE = 3;
/** So many, and more are expected to come: what they begin with outlives the slots and the process. */
const HOT = 8;

export type PrefixSharingOptions = {
  slots: readonly Slot[];
  saved: SavedPrefixes;
  /** whether `saved` has a place for what outlives this process */
  lasting: boolean;
  log: Logger;
};

export class PrefixSharing {
  readonly #options: PrefixSharingOptions;
  readonly #holders = new RadixTree<Source>();
  readonly #recent = new RadixTree<number>();
  #prompts = 0;
  #now = 1;

  constructor(options: PrefixSharingOptions) {
    this.#options = options;
    for (const saved of options.saved.all) this.#holders.put(saved, saved.tokens);
  }

  /** Tells what will be asked: what many prompts have in common shows before the first of them runs. */
  expect(prompt: readonly Token[]): void {
    const number = this.#prompts++;
    this.#recent.put(number, prompt);
    this.#recent.delete(number - RECENT);
  }

  /** How many tokens of the prompt somebody has or is about to have. */
  warmTokens(prompt: readonly Token[]): number {
    return Math.min(prompt.length - 1, Math.max(0, ...this.#holders.shared(prompt).values()));
  }

  /** Gives the job one of the free slots, from which it starts with as much of its prompt as can be had. */
  async place(job: Job, free: readonly Slot[]): Promise<void> {
    const shares = this.#holders.shared(this.#reusable(job));
    const looks = free.map((slot) => ({
      own: this.#takable(slot, shares.get(slot) ?? 0),
      tokens: slot.evaluated,
      reserved: slot.conversation !== undefined && slot.conversation !== job.conversation,
      usedAt: slot.usedAt,
    }));
    const close = nearest(looks);
    const { way } = chooseStart(looks[close]!.own, this.#others(shares, job));
    const slot = free[way === "own" ? close : giveWay(looks)]!;
    slot.usedAt = this.#now++;
    slot.job = job;
    try {
      await this.#retire(slot, job);
      await this.#start(slot, job);
    } catch (thrown) {
      await this.#failed(slot, thrown);
    }
  }

  /** For those who wait: what they wait for may be there now, or may never come. */
  async settle(): Promise<void> {
    for (const slot of this.#options.slots) {
      const { wait, job } = slot;
      if (!wait || !job) continue;
      const gone = wait.for.job !== wait.job;
      if (!gone && wait.for.evaluated < wait.length) continue;
      await this.#start(slot, job).catch((thrown) => this.#failed(slot, thrown));
    }
  }

  /** How many tokens the slot may evaluate until somebody wants a copy of exactly what it has. */
  mostFor(slot: Slot): number {
    if (slot.wait) return 0;
    const lengths = this.#options.slots
      .filter(({ wait }) => wait?.for === slot && wait.length > slot.evaluated)
      .map(({ wait }) => wait!.length - slot.evaluated);
    return Math.min(...lengths, Number.POSITIVE_INFINITY);
  }

  /** The slot's job is over; what it holds is there for others. */
  left(slot: Slot): void {
    this.#holders.put(slot, slot.kept);
  }

  async #failed(slot: Slot, thrown: unknown): Promise<void> {
    await slot.fail(thrown);
    this.left(slot);
  }

  async #start(slot: Slot, job: Job): Promise<void> {
    slot.wait = undefined;
    const reusable = this.#reusable(job);
    const shares = this.#holders.shared(reusable);
    await slot.keep(job.prompt, reusable.length);
    const start = chooseStart(slot.evaluated, this.#others(shares, job));
    if (start.way === "wait") {
      // Only a slot is still evaluating.
      const leader = start.for as Slot;
      const length = cutOf(start.length, this.#recent.common(reusable, ALIKE));
      slot.wait = { for: leader, job: leader.job!, length };
    } else {
      if (start.way === "copy") await this.#copy(start.from, slot, job, start.length);
      await this.#preserve(slot, job);
      slot.begin(job);
    }
    this.#holders.put(slot, job.prompt);
  }

  /** At least one token must be evaluated, or nothing would be predicted. */
  #reusable({ prompt }: Job): readonly Token[] {
    return prompt.slice(0, -1);
  }

  #others(shares: ReadonlyMap<Source, number>, job: Job): Holder<Source>[] {
    return Array.from(shares)
      .filter(([holder]) => !(holder instanceof Slot && waitsFor(holder, job)))
      .map(([holder, shared]) => {
        const ready = this.#takable(holder, shared);
        const comes = holder instanceof Slot && holder.evaluated < shared;
        return { holder, ready, shared: comes ? shared : ready };
      });
  }

  /** How much of what is shared can be taken over now. A state that cannot be cut must be exactly what is wanted. */
  #takable(holder: Source, shared: number): number {
    const isSlot = holder instanceof Slot;
    const held = isSlot ? holder.evaluated : holder.tokens.length;
    const cuttable = !this.#options.slots[0]!.sequence.needsCheckpoints;
    return cuttable ? Math.min(shared, held) : held <= shared ? held : 0;
  }

  async #copy(from: Source, slot: Slot, { prompt }: Job, length: number): Promise<void> {
    const { saved: store, log } = this.#options;
    try {
      if (from instanceof Slot) {
        const done = await copyNatively(from.sequence, slot.sequence, length);
        if (!done && store.fits(from.evaluated))
          await store.restore(await this.#save(from), slot.sequence, this.#now);
      } else await store.restore(from, slot.sequence, this.#now);
      await slot.keep(prompt, length);
    } catch (thrown) {
      // What could not be copied is evaluated, as if nobody had had it.
      log.warn({ err: thrown }, "a prefix could not be copied");
      if (!(from instanceof Slot)) await this.#forget(from);
      await slot.sequence.clearHistory();
    }
  }

  /** A prefix that many begin with is put where it survives this process, when a slot holds exactly it. */
  async #preserve(slot: Slot, job: Job): Promise<void> {
    if (!this.#options.lasting) return;
    const hot = this.#recent.common(this.#reusable(job), HOT);
    if (slot.evaluated < hot || cutOf(slot.evaluated, hot) !== hot || hot < MIN_COPY) return;
    if (!this.#options.saved.fits(hot)) return;
    const known = Array.from(this.#holders.shared(job.prompt.slice(0, hot)));
    if (known.some(([holder, shared]) => isLasting(holder) && shared + MIN_COPY > hot)) return;
    if (this.#takable(slot, hot) < hot) return;
    await slot.keep(job.prompt, hot);
    await this.#save(slot, true).catch((thrown) => this.#options.log.warn({ err: thrown }, "not preserved"));
  }

  /** Before a slot is overwritten: what only it has, and others are expected to come for, is saved. */
  async #retire(slot: Slot, job: Job): Promise<void> {
    const kept = slot.kept;
    const goesOn = slot.conversation !== undefined && slot.conversation !== job.conversation;
    const wanted = goesOn ? kept.length : this.#recent.common(kept, HOT);
    const lost = wanted - sharedPrefix(kept, job.prompt);
    if (wanted < MIN_COPY || lost < MIN_COPY || !this.#options.saved.fits(wanted)) return;
    const shares = this.#holders.shared(kept.slice(0, wanted));
    if (
      Array.from(shares).some(
        ([holder, shared]) => holder !== slot && this.#takable(holder, shared) >= wanted,
      )
    )
      return;
    if (this.#takable(slot, wanted) < wanted) return;
    await slot.keep(kept, wanted);
    await this.#save(slot).catch((thrown) => this.#options.log.warn({ err: thrown }, "not saved"));
  }

  async #save(slot: Slot, lasting = false): Promise<Saved> {
    const { saved, gone } = await this.#options.saved.save(slot.sequence, this.#now++, lasting);
    this.#holders.put(saved, saved.tokens);
    for (const one of gone) this.#holders.delete(one);
    return saved;
  }

  async #forget(saved: Saved): Promise<void> {
    this.#holders.delete(saved);
    await this.#options.saved.remove(saved);
  }
}

/** Whether the slot has the job, or gets on only when the job does: nobody may wait for it in turn. */
function waitsFor({ job: own, wait }: Slot, job: Job): boolean {
  return own === job || (wait !== undefined && wait.for.job === wait.job && waitsFor(wait.for, job));
}

const isLasting = (holder: Source) => !(holder instanceof Slot) && holder.lasting !== undefined;

// The library's own copy of a state from one sequence to another: internal, and only in some of its versions, so it is looked
// for before it is used. It copies within llama.cpp and takes next to no time.
type Internals = {
  _copyStateFromOtherSequence?(from: LlamaContextSequence, length: number): Promise<boolean>;
};

/** `to` then holds the first `length` tokens of `from`. `false` when it cannot be done this way; `to` is then empty. */
export async function copyNatively(
  from: LlamaContextSequence,
  to: LlamaContextSequence,
  length: number,
): Promise<boolean> {
  const target: Internals = to as unknown as Internals;
  if (!target._copyStateFromOtherSequence) return false;
  const copied = await target._copyStateFromOtherSequence(from, length);
  if (!copied) await to.clearHistory();
  return copied;
}
