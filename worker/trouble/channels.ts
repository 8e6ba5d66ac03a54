// The ways to tell a person: the topic and a webhook. Owns what waits for each of them, and when it is tried again. The webhook is asked
// through the safe client, so a home address must be listed in the destinations file as for every delivery.
import { unlessAborted } from "../async/abort.ts";
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Secret } from "../config/secret.ts";
import { webhookHeaders } from "../deliver/callback.ts";
import { judgeCallback, sendDelivery } from "../deliver/http-answer.ts";
import { isFifo, type Topic } from "../deliver/sns.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { checkUrl, parseUrl } from "../outbound/addresses.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { Note } from "./episodes.ts";
import { attributesOf, type Format, formatOf, idOf, KIND, messageOf, webhookOf } from "./messages.ts";

export type Channel = {
  /** For the log: never the address, whose path may be a secret. */
  name: string;
  /** Throws `delivery_failed` when another try may help. */
  send(note: Note, signal: AbortSignal): Promise<void>;
};

export const topicChannel = (topic: Topic, arn: string, worker: string): Channel => ({
  name: "the topic",
  send(note) {
    const fifo = { group: KIND, deduplicationId: idOf(note, worker) };
    const message = JSON.stringify(messageOf(note, worker));
    return topic.publish(arn, message, attributesOf(note), isFifo(arn) ? fifo : undefined);
  },
});

type WebhookOptions = {
  url: Secret;
  format: Format | "auto";
  worker: string;
  outbound: Outbound;
  destinations: Destinations;
  clock: Pick<Clock, "wall">;
};

/** Throws `config_invalid` for an address that the safe client would refuse. */
export function checkWebhook(url: Secret, destinations: Destinations): void {
  const known = destinationFor(destinations, url.reveal());
  try {
    const { allowPrivate = false } = known ?? {};
    checkUrl(parseUrl(url.reveal()), { known: known !== undefined, allowPrivate });
  } catch (thrown) {
    const { message, hint } = toKamadoError(thrown, "address_refused");
    throw new KamadoError("config_invalid", `KAMADO_TROUBLE_URL: ${message}`, { hint });
  }
}

export function webhookChannel(options: WebhookOptions): Channel {
  const { outbound, destinations, worker, clock } = options;
  const url = options.url.reveal();
  const known = destinationFor(destinations, url);
  const format = options.format === "auto" ? formatOf(url) : options.format;
  return {
    name: `the webhook at ${new URL(url).hostname}`,
    async send(note, signal) {
      const { body, headers } = webhookOf(note, format, worker);
      const signed = {
        id: idOf(note, worker),
        at: clock.wall(),
        body,
        secrets: known?.secrets ?? [],
      };
      const all = format === "json" ? { ...webhookHeaders(signed), ...headers } : headers;
      await sendDelivery(
        outbound,
        { method: "POST", url, body, headers: all, signal },
        judgeCallback,
        clock.wall(),
      );
    },
  };
}

/** What waits; the oldest are dropped. Nobody reads more. */
const MOST_WAITING = 20;
const BACKOFF = { baseMs: 10_000, maxMs: 600_000 };
/** Older news helps nobody. */
const LONGEST_MS = 6 * 3_600_000;

type Waiting = { note: Note; onSent: () => void };

/** Notes on their way through one channel, in their order, one at a time. */
export class ChannelOutbox {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  readonly #waiting: Waiting[] = [];
  #sending: Promise<void> | undefined;
  #failures = 0;

  constructor(channel: Channel, { clock, log }: { clock: Clock; log: Log }) {
    this.#channel = channel;
    this.#clock = clock;
    this.#log = log;
  }

  /** Never waits, never throws. `onSent`: called when it has arrived. */
  push(note: Note, onSent: () => void): void {
    this.#waiting.push({ note, onSent });
    if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
    this.#keepSending();
  }

  #keepSending(): void {
    if (this.#waiting.length === 0 || this.#stopping.signal.aborted) return;
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
      this.#keepSending();
    });
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    await this.#sending;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    const { signal } = this.#stopping;
    for (let next = this.#waiting[0]; next && !signal.aborted; next = this.#waiting[0]) {
      const again = this.#clock.wall() - next.note.at > LONGEST_MS ? null : await this.#trySend(next);
      if (again === null) this.#remove(next);
      else await this.#clock.sleep(again, signal);
    }
  }

  /** It may have been dropped meanwhile. */
  #remove(one: Waiting): void {
    const index = this.#waiting.indexOf(one);
    if (index >= 0) this.#waiting.splice(index, 1);
  }

  /** In how many milliseconds it is to be tried again; null when there is nothing more to do for it. */
  async #trySend({ note, onSent }: Waiting): Promise<number | null> {
    const { signal } = this.#stopping;
    try {
      await unlessAborted(this.#channel.send(note, signal), signal);
      this.#failures = 0;
      onSent();
      return null;
    } catch (thrown) {
      if (signal.aborted) return null;
      const error = toKamadoError(thrown, "delivery_failed");
      this.#failed(error);
      return error.retry
        ? Math.max(backoffMs(this.#failures, BACKOFF), error.detail?.retryAfterMs ?? 0)
        : null;
    }
  }

  /** Once for a row of failures. */
  #failed({ code, message, hint }: KamadoError): void {
    this.#failures += 1;
    if (this.#failures > 1) return;
    const text = `${this.#channel.name} could not be told of trouble: ${message} ${hint}`;
    this.#log.warn({ stage: "trouble", code }, text);
  }
}
