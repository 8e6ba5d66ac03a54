// A queue in memory that acts like SQS, on a clock of the test's choice. A test can make its calls fail, lose their answer or take
// long. It passes the same suite as the real ones.
import { type Clock, systemClock } from "../../worker/async/clock.ts";
import type { DeadLetterQueue, DeadMessage } from "../../worker/dead-letters/dead-letter-queue.ts";
import { type AwsFailure, KamadoError } from "../../worker/errors.ts";
import { asStructured } from "../../worker/job/cloud-event.ts";
import { ofAttributes } from "../../worker/job/trace-context.ts";
import {
  type EntryResult,
  ID_ATTRIBUTE,
  type Message,
  type NewMessage,
  TENANT_ATTRIBUTE,
} from "../../worker/queue/queue.ts";

export type Call = "receive" | "extend" | "remove" | "send" | "sendAll";

/** What goes wrong with one call. */
export type Fault =
  /** It has no effect, and the caller gets an error. */
  | { is: "fail"; health?: AwsFailure }
  /** It has its effect, but the answer is lost: the caller gets an error. */
  | { is: "drop" }
  /** It takes so long. */
  | { is: "delay"; ms: number }
  /** These entries of a batch fail, by their index. */
  | { is: "entries"; fail: readonly number[] };

type Stored = Omit<Message, "handle" | "sentAt" | "queue"> & {
  sentAt: number;
  handle: string | null;
  attributes: Record<string, string>;
  /** Hidden until then, on the clock's `now`. */
  hiddenUntil: number;
};

export type FakeQueueOptions = {
  clock?: Clock;
  /** A FIFO queue: one message of a group at a time, in order; duplicates are dropped. */
  fifo?: boolean;
  /** Where messages go that were received more often. */
  dead?: { queue: FakeQueue; maxReceiveCount: number };
};

const BODY_LIMIT = 1024 * 1024;

export class FakeQueue implements DeadLetterQueue {
  readonly url: string;
  readonly #clock: Clock;
  readonly #options: FakeQueueOptions;
  readonly #faults: { call: Call; fault: Fault }[] = [];
  readonly #deduplicated = new Map<string, string>();
  #messages: Stored[] = [];
  #wake = Promise.withResolvers<void>();
  #serial = 0;
  /** How often each call was made. */
  readonly calls: Record<Call, number> = { receive: 0, extend: 0, remove: 0, send: 0, sendAll: 0 };
  /** Whether there is no such queue. */
  missing = false;

  constructor(url: string, options: FakeQueueOptions = {}) {
    this.url = url;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Makes the next call of this kind go wrong; several faults apply one after another. */
  next(call: Call, fault: Fault): this {
    this.#faults.push({ call, fault });
    return this;
  }

  /** Every message that is not deleted, hidden ones too. */
  get messages(): readonly Readonly<Stored>[] {
    return this.#messages;
  }

  /** Takes a message from the worker that has it, as if its visibility had ended. */
  takeAway(id: string): void {
    for (const message of this.#messages.filter((one) => one.id === id)) this.#hide(message, 0);
  }

  async receive(options: Parameters<DeadLetterQueue["receive"]>[0]): Promise<Message[]> {
    const messages = await this.#receive(options);
    return messages.map(({ attributes, ...message }) => ({
      ...message,
      id: attributes[ID_ATTRIBUTE] ?? message.id,
    }));
  }

  #receive(options: Parameters<DeadLetterQueue["receive"]>[0]): Promise<DeadMessage[]> {
    return this.#throwing("receive", async () => {
      const end = this.#clock.now() + options.waitSeconds * 1_000;
      for (;;) {
        const found = this.#visible().slice(0, Math.min(options.max, 10));
        const left = end - this.#clock.now();
        if (found.length > 0 || left <= 0)
          return found.map((one) => this.#lease(one, options.visibilitySeconds));
        await this.#somethingMayHaveChanged(left);
      }
    });
  }

  /** As `kamado dead` receives it, with the attributes. */
  receiveDead({ visibilitySeconds }: { visibilitySeconds: number }): Promise<DeadMessage[]> {
    return this.#receive({ max: 10, waitSeconds: 0, visibilitySeconds });
  }

  extend(entries: readonly { handle: string; seconds: number }[]): Promise<EntryResult[]> {
    return this.#perEntry("extend", entries, ({ handle, seconds }) => {
      const message = this.#held(handle);
      if (message) this.#hide(message, seconds);
      return message ? "ok" : "lost";
    });
  }

  remove(handles: readonly string[]): Promise<EntryResult[]> {
    return this.#perEntry("remove", handles, (handle) => {
      const message = this.#held(handle);
      this.#messages = this.#messages.filter((one) => one !== message);
      this.#notify();
      // A handle that was valid once deletes nothing and is no error, as in SQS.
      return message || handle.startsWith(this.url) ? "ok" : "lost";
    });
  }

  send(
    body: string,
    options: {
      delaySeconds?: number;
      attributes?: Record<string, string>;
      group?: string;
      deduplicationId?: string;
    } = {},
  ): Promise<string> {
    return this.#throwing("send", async () => this.#take(body, options));
  }

  /** With the fault `entries` the queue takes the others, and the call fails. */
  sendAll(messages: readonly NewMessage[]): Promise<void> {
    return this.#throwing("sendAll", async (fault) => {
      const fails = (index: number) => fault?.is === "entries" && fault.fail.includes(index);
      for (const { body } of messages) checkSize(body, {});
      for (const [index, { body, ...options }] of messages.entries())
        if (!fails(index)) this.#take(body, options);
      if (fault?.is === "entries") throw unavailable("unknown");
    });
  }

  #take(body: string, options: NonNullable<Parameters<DeadLetterQueue["send"]>[1]>): string {
    const { group = null, attributes = {}, delaySeconds = 0, deduplicationId = body } = options;
    checkSize(body, attributes);
    const known = this.#options.fifo ? this.#deduplicated.get(deduplicationId) : undefined;
    if (known) return known;
    const id = `m${++this.#serial}`;
    if (this.#options.fifo) this.#deduplicated.set(deduplicationId, id);
    this.#add({ id, body, group, attributes, receiveCount: 0 }, delaySeconds);
    return id;
  }

  #add(
    message: Pick<Stored, "id" | "body" | "group" | "receiveCount" | "attributes">,
    delaySeconds: number,
  ): void {
    const hiddenUntil = this.#clock.now() + delaySeconds * 1_000;
    this.#messages.push({ ...message, sentAt: this.#clock.wall(), handle: null, hiddenUntil });
    this.#notify();
  }

  /** What can be received now: not hidden, first of its group, and not received too often. */
  #visible(): Stored[] {
    const now = this.#clock.now();
    const { dead, fifo } = this.#options;
    for (const one of this.#messages)
      if (dead && one.hiddenUntil <= now && one.receiveCount >= dead.maxReceiveCount) {
        this.#messages = this.#messages.filter((other) => other !== one);
        dead.queue.#add(one, 0);
      }
    const free = this.#messages.filter((one) => one.hiddenUntil <= now);
    if (!fifo) return free;
    // One batch may have several messages of a group, in order; none while an earlier one is hidden.
    const isHidden = (one: Stored) => one.hiddenUntil > now;
    return free.filter((one, _, all) =>
      this.#messages
        .slice(0, this.#messages.indexOf(one))
        .every((earlier) => earlier.group !== one.group || (!isHidden(earlier) && all.includes(earlier))),
    );
  }

  #lease(message: Stored, seconds: number): DeadMessage {
    message.handle = `${this.url}#${++this.#serial}`;
    message.receiveCount += 1;
    message.hiddenUntil = this.#clock.now() + seconds * 1_000;
    const { id, handle, sentAt, receiveCount, attributes } = message;
    const body = asStructured(message.body, attributes) ?? message.body;
    const group = this.#options.fifo ? message.group : null;
    const tenant = (group === null ? message.group : null) ?? attributes[TENANT_ATTRIBUTE];
    const trace = ofAttributes(attributes);
    const known = { id, queue: this.url, body, handle, sentAt, receiveCount, group, attributes, trace };
    return { ...known, ...(tenant && { tenant }) };
  }

  #held(handle: string): Stored | undefined {
    return this.#messages.find((one) => one.handle === handle && one.hiddenUntil > this.#clock.now());
  }

  #hide(message: Stored, seconds: number): void {
    message.hiddenUntil = this.#clock.now() + seconds * 1_000;
    if (seconds === 0) message.handle = null;
    this.#notify();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** Resolves when a call has changed the queue, a hidden message is visible again, or `ms` are over. */
  async #somethingMayHaveChanged(ms: number): Promise<void> {
    const now = this.#clock.now();
    const due = this.#messages.map(({ hiddenUntil }) => hiddenUntil - now).filter((left) => left > 0);
    const over = new AbortController();
    await Promise.race([this.#wake.promise, this.#clock.sleep(Math.min(ms, ...due), over.signal)]);
    over.abort();
  }

  async #throwing<T>(call: Call, act: (fault: Fault | undefined) => Promise<T>): Promise<T> {
    const fault = await this.#begin(call);
    if (this.missing) throw unavailable("missing_queue");
    if (fault?.is === "fail") throw unavailable(fault.health ?? "network");
    const answer = await act(fault);
    if (fault?.is === "drop") throw unavailable("network");
    return answer;
  }

  async #perEntry<E>(
    call: Call,
    entries: readonly E[],
    act: (entry: E) => EntryResult,
  ): Promise<EntryResult[]> {
    const fault = await this.#begin(call);
    const bad = (index: number) => fault?.is === "entries" && fault.fail.includes(index);
    if (this.missing || fault?.is === "fail") return entries.map(() => "failed");
    const results = entries.map((entry, index) => (bad(index) ? "failed" : act(entry)));
    return fault?.is === "drop" ? entries.map(() => "failed") : results;
  }

  async #begin(call: Call): Promise<Fault | undefined> {
    this.calls[call] += 1;
    const index = this.#faults.findIndex((one) => one.call === call);
    const fault = index < 0 ? undefined : this.#faults.splice(index, 1)[0]!.fault;
    if (fault?.is === "delay") await this.#clock.sleep(fault.ms);
    return fault;
  }
}

function checkSize(body: string, attributes: Record<string, string>): void {
  const size = Buffer.byteLength(body + Object.entries(attributes).flat().join(""));
  if (size > BODY_LIMIT) throw new KamadoError("body_too_large", `The message has ${size} bytes.`);
}

const unavailable = (awsFailure: AwsFailure) =>
  new KamadoError("queue_unavailable", `the fake queue fails because the test says so: ${awsFailure}`, {
    detail: { awsFailure },
  });
