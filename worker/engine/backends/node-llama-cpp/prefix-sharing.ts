// Owns which slot or saved state has which prefix, so that a prefix of several prompts is evaluated once: it is copied to other
// slots, and saved if many prompts begin with it. How a prompt starts is decided in prefix-cache/placement.ts; when requests
// start and advance, in batch-loop.ts.
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import type { Logger } from "pino";
import { chooseStart, cutOf, giveWay, type Holder, MIN_COPY, nearest } from "../../prefix-cache/placement.ts";
import { RadixTree, sharedPrefix } from "../../prefix-cache/radix-tree.ts";
import type { Saved, SavedStates } from "../../prefix-cache/saved-states.ts";
import { Slot, type SlotRequest } from "./slot.ts";

type Source = Slot | Saved;
/** Of prompts that are remembered. */
const RECENT = 256;
/** So many recent prompts that begin alike show where prompts of their kind differ. */
const ALIKE = 3;
/** When so many begin alike, more are expected. Their prefix is kept longer than the slots hold it. */
const HOT = 8;

export type PrefixSharingOptions = {
  slots: readonly Slot[];
  saved: SavedStates;
  /** whether `saved` has a folder for states that outlive this process */
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

  /** Remembers a prompt before it runs, so that the first of many alike already knows what they have in common. */
  expect(prompt: readonly Token[]): void {
    const number = this.#prompts++;
    this.#recent.put(number, prompt);
    this.#recent.delete(number - RECENT);
  }

  /** How many tokens of the prompt a slot or a saved state has, or will have soon. */
  warmTokens(prompt: readonly Token[]): number {
    return Math.min(prompt.length - 1, Math.max(0, ...this.#holders.shared(prompt).values()));
  }

  /** Puts the request into one of the free slots and starts it from as much of its prompt as is available. */
  async place(request: SlotRequest, free: readonly Slot[]): Promise<void> {
    const shares = this.#holders.shared(this.#reusable(request));
    const candidates = free.map((slot) => ({
      own: this.#takable(slot, shares.get(slot) ?? 0),
      tokens: slot.evaluated,
      reserved: slot.conversation !== undefined && slot.conversation !== request.conversation,
      usedAt: slot.usedAt,
    }));
    const close = nearest(candidates);
    const { way } = chooseStart(candidates[close]!.own, this.#others(shares, request));
    const slot = free[way === "own" ? close : giveWay(candidates)]!;
    slot.usedAt = this.#now++;
    slot.request = request;
    try {
      await this.#saveBefore(slot, request);
      await this.#start(slot, request);
    } catch (thrown) {
      await this.#failed(slot, thrown);
    }
  }

  /** Starts the waiting requests whose prefix is there now, or will not come because its request has ended. */
  async settleWaits(): Promise<void> {
    for (const slot of this.#options.slots) {
      const { wait, request } = slot;
      if (!wait || !request) continue;
      const gone = wait.for.request !== wait.request;
      if (!gone && wait.for.evaluated < wait.length) continue;
      await this.#start(slot, request).catch((thrown) => this.#failed(slot, thrown));
    }
  }

  /** How many tokens the slot may evaluate before a waiting request wants a copy of exactly what it holds. */
  mostFor(slot: Slot): number {
    if (slot.wait) return 0;
    const lengths = this.#options.slots
      .filter(({ wait }) => wait?.for === slot && wait.length > slot.evaluated)
      .map(({ wait }) => wait!.length - slot.evaluated);
    return Math.min(...lengths, Number.POSITIVE_INFINITY);
  }

  /** The slot's request has ended; others may use what the slot holds. */
  release(slot: Slot): void {
    this.#holders.put(slot, slot.tokens);
  }

  async #failed(slot: Slot, thrown: unknown): Promise<void> {
    await slot.fail(thrown);
    this.release(slot);
  }

  async #start(slot: Slot, request: SlotRequest): Promise<void> {
    slot.wait = undefined;
    const reusable = this.#reusable(request);
    const shares = this.#holders.shared(reusable);
    await slot.keep(request.prompt, reusable.length);
    const start = chooseStart(slot.evaluated, this.#others(shares, request));
    if (start.way === "wait") {
      // A saved state is complete, so only a slot can be waited for.
      const leader = start.for as Slot;
      const length = cutOf(start.length, this.#recent.common(reusable, ALIKE));
      slot.wait = { for: leader, request: leader.request!, length };
    } else {
      if (start.way === "copy") await this.#copy(start.from, slot, request, start.length);
      await this.#saveHot(slot, request);
      slot.begin(request);
    }
    this.#holders.put(slot, request.prompt);
  }

  /** All but the last token, which must be evaluated so that the next one can be predicted. */
  #reusable({ prompt }: SlotRequest): readonly Token[] {
    return prompt.slice(0, -1);
  }

  #others(shares: ReadonlyMap<Source, number>, request: SlotRequest): Holder<Source>[] {
    return Array.from(shares)
      .filter(([holder]) => !(holder instanceof Slot && waitsFor(holder, request)))
      .map(([holder, shared]) => {
        const ready = this.#takable(holder, shared);
        const comes = holder instanceof Slot && holder.evaluated < shared;
        return { holder, ready, shared: comes ? shared : ready };
      });
  }

  /** How many of the shared tokens can be taken now. A state that cannot be cut must not hold more than those. */
  #takable(holder: Source, shared: number): number {
    const isSlot = holder instanceof Slot;
    const held = isSlot ? holder.evaluated : holder.tokens.length;
    const cuttable = !this.#options.slots[0]!.sequence.needsCheckpoints;
    return cuttable ? Math.min(shared, held) : held <= shared ? held : 0;
  }

  async #copy(from: Source, slot: Slot, { prompt }: SlotRequest, length: number): Promise<void> {
    const { saved: store, log } = this.#options;
    try {
      if (from instanceof Slot) {
        const done = await copyNatively(from.sequence, slot.sequence, length);
        if (!done && store.fits(from.evaluated))
          await store.restore(await this.#save(from), slot.state, this.#now);
      } else await store.restore(from, slot.state, this.#now);
      await slot.keep(prompt, length);
    } catch (thrown) {
      // What cannot be copied is evaluated instead.
      log.warn({ err: thrown }, "a prefix could not be copied");
      if (!(from instanceof Slot)) await this.#forget(from);
      await slot.sequence.clearHistory();
    }
  }

  /** Saves a prefix that many prompts begin with for later processes, when the slot holds exactly that prefix. */
  async #saveHot(slot: Slot, request: SlotRequest): Promise<void> {
    if (!this.#options.lasting) return;
    const hot = this.#recent.common(this.#reusable(request), HOT);
    if (slot.evaluated < hot || cutOf(slot.evaluated, hot) !== hot || hot < MIN_COPY) return;
    if (!this.#options.saved.fits(hot)) return;
    const known = Array.from(this.#holders.shared(request.prompt.slice(0, hot)));
    if (known.some(([holder, shared]) => isLasting(holder) && shared + MIN_COPY > hot)) return;
    if (this.#takable(slot, hot) < hot) return;
    await slot.keep(request.prompt, hot);
    await this.#save(slot, true).catch((thrown) =>
      this.#options.log.warn({ err: thrown }, "a prefix could not be saved"),
    );
  }

  /** Saves, before the request overwrites the slot, what no other slot has and later prompts are expected to need. */
  async #saveBefore(slot: Slot, request: SlotRequest): Promise<void> {
    const { tokens } = slot;
    const isReserved = slot.conversation !== undefined && slot.conversation !== request.conversation;
    const wanted = isReserved ? tokens.length : this.#recent.common(tokens, HOT);
    const lost = wanted - sharedPrefix(tokens, request.prompt);
    if (wanted < MIN_COPY || lost < MIN_COPY || !this.#options.saved.fits(wanted)) return;
    const others = Array.from(this.#holders.shared(tokens.slice(0, wanted)));
    if (others.some(([holder, shared]) => holder !== slot && this.#takable(holder, shared) >= wanted)) return;
    if (this.#takable(slot, wanted) < wanted) return;
    await slot.keep(tokens, wanted);
    await this.#save(slot).catch((thrown) =>
      this.#options.log.warn({ err: thrown }, "a slot's prefix could not be saved"),
    );
  }

  async #save(slot: Slot, lasting = false): Promise<Saved> {
    const { saved, gone } = await this.#options.saved.save(slot.state, this.#now++, lasting);
    this.#holders.put(saved, saved.tokens);
    for (const one of gone) this.#holders.delete(one);
    return saved;
  }

  async #forget(saved: Saved): Promise<void> {
    this.#holders.delete(saved);
    await this.#options.saved.remove(saved);
  }
}

/** Whether the slot runs the request or waits for it, directly or through others. The request must not wait for such a slot. */
function waitsFor({ request: own, wait }: Slot, request: SlotRequest): boolean {
  return (
    own === request ||
    (wait !== undefined && wait.for.request === wait.request && waitsFor(wait.for, request))
  );
}

const isLasting = (holder: Source) => !(holder instanceof Slot) && holder.lasting !== undefined;

// The library's internal copy of a state from one sequence to another takes nearly no time. Not every version has it.
type Internals = {
  _copyStateFromOtherSequence?(from: LlamaContextSequence, length: number): Promise<boolean>;
};

/** Copies the first `length` tokens of `from`. Returns `false` when the library cannot do so; `to` is empty then. */
async function copyNatively(
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
