// How many deliveries the worker has in hand, how many of them a receiver gets at a time and how fast, and the pauses that a
// destination asks for (Retry-After). A delivery that finds no room is held back: nothing is sent, and the outbox brings it again,
// so that a receiver that hangs costs neither memory nor the places of others. A receiver is an entry of the destinations file,
// else an origin, a topic or a queue. One without deliveries is forgotten.
import Bottleneck from "bottleneck";
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import { type ErrorDetail, KamadoError } from "../errors.ts";
import type { Destination } from "../job/envelope.ts";
import type { Destinations } from "../outbound/destinations.ts";
import { nameOf, receiverOf } from "./deliver.ts";

/** Deliveries that the worker sends, or that wait in memory for their turn. */
const PLACES = 64;
/** So many of them may be for one receiver. */
const PLACES_OF_ONE = 16;
/** And for one while it does not answer, or nobody has tried it yet. Its first answer shows that it works. */
const PLACES_OF_SILENT = 2;
const MAX_CONCURRENT = 8;
/** A receiver that takes longer counts as one that does not answer, unless the owner listed it: it holds its place as long. */
const SLOW_MS = 3_000;
/** When to try again a delivery that found no place. Most tries end sooner. */
const NO_PLACE_MS = 5_000;
/** For other deliveries to the same destination. The one that was asked to wait longer does so. */
const LONGEST_PAUSE_MS = 60_000;
const REMEMBERED = 2_000;

type Receiver = {
  name: string;
  /** The owner listed it, or AWS serves it: it gets its places before its first answer. */
  isTrusted: boolean;
  maxConcurrent: number;
  rate: Bottleneck | null;
};
/** A delivery in hand. It waits for its turn until `isSending`. */
type Turn = {
  receiver: Receiver;
  destination: string;
  isSending: boolean;
  begun: PromiseWithResolvers<void>;
};

export class Pace {
  readonly #destinations: Destinations;
  readonly #clock: Pick<Clock, "now">;
  readonly #receivers = new Map<string, Receiver>();
  /** In order of arrival. */
  readonly #inHand = new Set<Turn>();
  /** Whether the last try of a receiver or a destination got an answer soon, by its name. */
  readonly #lastTries = new RecentMap<string, boolean>(REMEMBERED);
  /** By the destination's name. One bad address must not pause the others of its origin. */
  readonly #pausedUntil = new RecentMap<string, number>(REMEMBERED);

  constructor({ destinations, clock }: { destinations: Destinations; clock: Pick<Clock, "now"> }) {
    this.#destinations = destinations;
    this.#clock = clock;
  }

  /**
   * Runs `work` when its turn comes. Throws what `work` throws, and `delivery_failed` (held back) when there is no place or the
   * destination asked for a pause. With `insist` neither counts, and it only waits for its turn.
   */
  async run(
    destination: Destination,
    signal: AbortSignal | undefined,
    work: () => Promise<void>,
    insist = false,
  ): Promise<void> {
    const receiver = this.#receiver(destination);
    const turn = {
      receiver,
      destination: nameOf(destination),
      isSending: false,
      begun: Promise.withResolvers<void>(),
    };
    if (!insist) this.#throwIfPaused(turn.destination);
    if (!insist && !this.#hasPlace(turn)) throw heldBack("The worker has no place left.", NO_PLACE_MS);
    // A call that does not heed the signal keeps its place until it ends, but nobody waits for it.
    const done = this.#inTurn(turn, signal, work, insist);
    await (signal ? unlessAborted(done, signal) : done);
  }

  /** How many receivers are known; the number is bounded. */
  get size(): number {
    return this.#receivers.size;
  }

  async #inTurn(turn: Turn, signal: AbortSignal | undefined, work: () => Promise<void>, insist: boolean) {
    const { receiver, destination, begun } = turn;
    this.#inHand.add(turn);
    try {
      this.#startWaiting();
      await (signal ? unlessAborted(begun.promise, signal) : begun.promise);
      await receiver.rate?.schedule(async () => {});
      signal?.throwIfAborted();
      if (!insist) this.#throwIfPaused(destination);
      await this.#send(turn, work);
    } finally {
      this.#inHand.delete(turn);
      this.#startWaiting();
    }
  }

  async #send(turn: Turn, work: () => Promise<void>): Promise<void> {
    const began = this.#clock.now();
    const isSoon = () => turn.receiver.isTrusted || this.#clock.now() - began <= SLOW_MS;
    try {
      await work();
      this.#noteAnswer(turn, isSoon());
    } catch (thrown) {
      const { code, detail = {} } = thrown instanceof KamadoError ? thrown : {};
      this.#notePause(turn, detail);
      // Other errors say nothing about the receiver: another worker has the job, or this one stops.
      if (detail.httpStatus !== undefined) this.#noteAnswer(turn, isSoon());
      else if (code === "delivery_failed" && !detail.heldBack) this.#noteAnswer(turn, false);
      throw thrown;
    }
  }

  /** Among all deliveries in hand, and among those of its receiver. */
  #hasPlace(turn: Pick<Turn, "receiver" | "destination">): boolean {
    const { receiver } = turn;
    const all = [...this.#inHand];
    const ofReceiver = all.filter((other) => other.receiver === receiver);
    // Even one that gets its deliveries one by one has some that wait.
    const size = Math.max(4, Math.min(PLACES_OF_ONE, 2 * receiver.maxConcurrent));
    const worker = { size: PLACES, ofOne: size, ofSilent: PLACES_OF_SILENT };
    return (
      hasRoom(this.#asReceiver(turn), all.map(this.#asReceiver), worker) &&
      hasRoom(this.#asDestination(turn), ofReceiver.map(this.#asDestination), roomOf(size))
    );
  }

  #startWaiting(): void {
    for (const turn of this.#inHand) {
      if (turn.isSending || !this.#hasTurn(turn)) continue;
      turn.isSending = true;
      turn.begun.resolve();
    }
  }

  #hasTurn(turn: Turn): boolean {
    const { receiver } = turn;
    const sending = [...this.#inHand].filter((other) => other.isSending && other.receiver === receiver);
    const others = sending.map(this.#asDestination);
    return hasRoom(this.#asDestination(turn), others, roomOf(receiver.maxConcurrent));
  }

  #receiver(destination: Destination): Receiver {
    const name = receiverOf(this.#destinations, destination);
    const existing = this.#receivers.get(name);
    if (existing) return existing;
    this.#forgetIdle();
    const known = this.#destinations.find(({ match }) => match === name);
    const { maxConcurrent = MAX_CONCURRENT, maxPerSecond } = known ?? {};
    const rate = maxPerSecond === undefined ? null : new Bottleneck({ minTime: 1_000 / maxPerSecond });
    const isTrusted = known !== undefined || "sns" in destination || "sqs" in destination;
    const receiver = { name, isTrusted, maxConcurrent, rate };
    this.#receivers.set(name, receiver);
    return receiver;
  }

  /** Jobs may name ever new destinations. Those of the file stay, because their limit has to know the time of the last delivery. */
  #forgetIdle(): void {
    const inUse = new Set([...this.#inHand].map(({ receiver }) => receiver));
    const known = new Set(this.#destinations.map(({ match }) => match));
    for (const receiver of this.#receivers.values())
      if (!inUse.has(receiver) && !known.has(receiver.name)) this.#receivers.delete(receiver.name);
  }

  #throwIfPaused(destination: string): void {
    const left = (this.#pausedUntil.get(destination) ?? 0) - this.#clock.now();
    if (left > 0) throw heldBack("The destination asked for a pause.", left);
  }

  #notePause({ destination }: Turn, { httpStatus, isOfItem, retryAfterMs }: ErrorDetail): void {
    // Too many calls are about all calls to a service; one of its items that is not available is only about itself.
    const asksForPause = httpStatus === 429 || (httpStatus === 503 && !isOfItem);
    if (asksForPause && retryAfterMs !== undefined)
      this.#pausedUntil.set(destination, this.#clock.now() + Math.min(retryAfterMs, LONGEST_PAUSE_MS));
  }

  #noteAnswer({ receiver, destination }: Turn, didAnswer: boolean): void {
    for (const name of [receiver.name, destination]) this.#lastTries.set(name, didAnswer);
  }

  #asDestination = ({ destination }: Pick<Turn, "destination">): Claim => ({
    name: destination,
    isSilent: !this.#lastTries.get(destination),
  });

  /** What is known of the address itself counts. The receiver only stands in for an address that nobody tried yet. */
  #asReceiver = ({ receiver, destination }: Pick<Turn, "receiver" | "destination">): Claim => {
    const didAnswer = this.#lastTries.get(destination) ?? this.#lastTries.get(receiver.name);
    return { name: receiver.name, isSilent: !(didAnswer ?? receiver.isTrusted) };
  };
}

const heldBack = (why: string, retryAfterMs: number) =>
  new KamadoError("delivery_failed", why, { detail: { retryAfterMs, heldBack: true } });

/** Silent: the last try got no answer soon, or there was none yet. */
export type Claim = { name: string; isSilent: boolean };
/** `ofOne` places at most for one name, and `ofSilent` for its silent claims. */
export type Room = { size: number; ofOne: number; ofSilent: number };

/** An eighth of the places is for others, where there are so many. */
const roomOf = (size: number): Room => {
  const ofOne = Math.ceil((size * 7) / 8);
  return { size, ofOne, ofSilent: ofOne };
};

/**
 * Whether one more claim fits beside the others. Silent ones get half of all places together. So neither one receiver that hangs
 * nor many that somebody made up take all of them. Pure.
 */
export function hasRoom(next: Claim, others: readonly Claim[], { size, ofOne, ofSilent }: Room): boolean {
  const own = others.filter(({ name }) => name === next.name);
  if (others.length >= size || own.length >= ofOne) return false;
  if (!next.isSilent) return true;
  const silent = others.filter(({ isSilent }) => isSilent);
  return own.filter(({ isSilent }) => isSilent).length < ofSilent && silent.length < Math.ceil(size / 2);
}
