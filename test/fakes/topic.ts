// Topics in memory that act like SNS: subscribers, filters on attributes, FIFO deduplication. A test can make the next publish
// fail. It passes the same suite as the real ones.
import { checkSize, isFifo, type Topic } from "../../worker/deliver/sns.ts";
import { KamadoError } from "../../worker/errors.ts";

export type Published = { message: string; attributes: Record<string, string> };
export type Filter = Record<string, string[]>;

export class FakeTopic implements Topic {
  readonly #topics = new Map<
    string,
    { inboxes: { filter: Filter; inbox: Published[] }[]; seen: Set<string> }
  >();
  readonly #faults: KamadoError[] = [];

  create(arn: string): void {
    this.#topics.set(arn, { inboxes: [], seen: new Set() });
  }

  /** Collects what is published from now on and passes the filter. */
  subscribe(arn: string, filter: Filter = {}): Published[] {
    const inbox: Published[] = [];
    this.#topics.get(arn)!.inboxes.push({ filter, inbox });
    return inbox;
  }

  next(fault: KamadoError): this {
    this.#faults.push(fault);
    return this;
  }

  async publish(...[arn, message, attributes, fifo]: Parameters<Topic["publish"]>): Promise<void> {
    const fault = this.#faults.shift();
    if (fault) throw fault;
    checkSize(message, attributes);
    const topic = this.#topics.get(arn);
    if (!topic || isFifo(arn) !== (fifo !== undefined))
      throw new KamadoError(
        "delivery_rejected",
        `${arn}: ${topic ? "a FIFO topic needs a group" : "no such topic"}`,
      );
    if (fifo && topic.seen.has(fifo.deduplicationId)) return;
    if (fifo) topic.seen.add(fifo.deduplicationId);
    const passes = (filter: Filter) =>
      Object.entries(filter).every(([name, values]) => values.includes(attributes[name] ?? ""));
    for (const { filter, inbox } of topic.inboxes) if (passes(filter)) inbox.push({ message, attributes });
  }
}
