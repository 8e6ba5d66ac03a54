// Owns the stream of changes, as server-sent events: any number of readers of one source. Each change is written once for all readers. A
// reader that does not read costs a bounded amount of memory: what it misses is left out, and it is told so.
import type { Change, JobsService } from "./services.ts";

export type EventsOptions = {
  jobs: Pick<JobsService, "subscribe">;
  /** Readers at a time [500]. */
  mostReaders?: number;
  /** Between signs of life [15,000]. */
  heartbeatMs?: number;
  /** Between two writes to a reader [500]. */
  tickMs?: number;
};

/** Bytes that wait for one reader. */
const MAX_WAITING = 256 * 1024;
/** Changes that a reader may come back for. */
const KEPT = 2_000;
/** Of signs of life in a row that nobody read. */
const MAX_UNREAD = 4;
/** A page need not show more changes in a second than a person sees; each write to each reader costs time. */
const TICK_MS = 500;
/** After a quiet time a change waits no longer than this for what belongs to it. */
const SOON_MS = 50;
const encoder = new TextEncoder();
const RETRY = encoder.encode("retry: 2000\n\n");
const BEAT = encoder.encode(": \n\n");
const MISSED = encoder.encode("event: missed\ndata: {}\n\n");

export type Opening = {
  since?: string | undefined;
  job?: string | undefined;
  /** Ends the connection of a reader that does not read: the end of the stream would never arrive. */
  hangUp?(): void;
};

type Kept = { number: number; text: string; job: string | null };

export class EventStream {
  readonly #options: EventsOptions;
  readonly #readers = new Set<Reader>();
  readonly #kept: Kept[] = [];
  /** Of this stream: what another process counted says nothing here. */
  readonly #name = Date.now().toString(36);
  readonly #pending = new Map<string, Change>();
  #flushing: NodeJS.Timeout | undefined;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #number = 0;
  #end: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EventsOptions) {
    this.#options = options;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Null when there are too many readers. `since`: the id of the last event that a reader got before a break; `job`: the only one of interest. */
  open({ since, job, hangUp = () => {} }: Opening): ReadableStream<Uint8Array> | null {
    if (this.#readers.size >= (this.#options.mostReaders ?? 500)) return null;
    const reader = new Reader(job ?? null, () => {
      this.#readers.delete(reader);
      hangUp();
    });
    this.#begin();
    this.#readers.add(reader);
    reader.add(RETRY);
    if (since !== undefined) this.#catchUp(reader, since);
    return reader.stream();
  }

  /** The source is only listened to while somebody reads, and as long as somebody may come back. */
  #begin(): void {
    this.#end ??= this.#options.jobs.subscribe((change) => this.#onChange(change));
    this.#timer ??= setInterval(() => this.#beat(), this.#options.heartbeatMs ?? 15_000).unref();
  }

  /** What happens to one job within a moment is one event, with what it was like at the end. */
  #onChange(change: Change): void {
    const id = change.is === "job" ? change.job.id : change.is === "progress" ? change.id : "";
    this.#pending.set(`${change.is} ${id}`, change);
    const tick = this.#options.tickMs ?? TICK_MS;
    const wait = Math.max(Math.min(SOON_MS, tick), this.#flushedAt + tick - performance.now());
    this.#flushing ??= setTimeout(() => this.#flush(), wait).unref();
  }

  #flush(): void {
    this.#flushing = undefined;
    this.#flushedAt = performance.now();
    const all = [...this.#pending.values()].map((change) => this.#write(change));
    this.#pending.clear();
    this.#kept.push(...all);
    if (this.#kept.length > KEPT) this.#kept.splice(0, this.#kept.length - KEPT);
    // Made once for all of them, because there may be many.
    const whole = encoder.encode(all.map(({ text }) => text).join(""));
    for (const reader of this.#readers) {
      if (reader.job === null) reader.add(whole);
      else
        for (const { text, job } of all)
          if (job === null || job === reader.job) reader.add(encoder.encode(text));
    }
  }

  #write(change: Change): Kept {
    const number = ++this.#number;
    const { is, ...rest } = change;
    const data = is === "job" ? change.job : rest;
    const text = `id: ${this.#name}.${number}\nevent: ${is}\ndata: ${JSON.stringify(data)}\n\n`;
    return { number, text, job: is === "job" ? change.job.id : is === "progress" ? change.id : null };
  }

  #catchUp(reader: Reader, since: string): void {
    const [name, number] = since.split(".");
    const oldest = this.#kept[0]?.number ?? this.#number + 1;
    const isKnown = name === this.#name && Number(number) >= oldest - 1 && Number(number) <= this.#number;
    if (!isKnown) reader.miss();
    else
      for (const { number: one, text, job } of this.#kept)
        if (one > Number(number) && (reader.job === null || job === null || job === reader.job))
          reader.add(encoder.encode(text));
  }

  #beat(): void {
    for (const reader of this.#readers) reader.beat();
  }

  close(): void {
    clearTimeout(this.#flushing);
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#end?.();
    this.#end = undefined;
    for (const reader of [...this.#readers]) reader.end();
  }
}

class Reader {
  /** The only one of interest. */
  readonly job: string | null;
  readonly #onEnd: () => void;
  #waiting: Uint8Array[] = [];
  #length = 0;
  #unread = 0;
  #wake: (() => void) | undefined;
  #isOver = false;

  constructor(job: string | null, onEnd: () => void) {
    this.job = job;
    this.#onEnd = onEnd;
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.#length + bytes.length > MAX_WAITING) {
      this.miss();
      return;
    }
    this.#waiting.push(bytes);
    this.#length += bytes.length;
    this.#wake?.();
  }

  /** In place of everything that waits. */
  miss(): void {
    this.#waiting = [MISSED];
    this.#length = MISSED.length;
    this.#wake?.();
  }

  /** A reader that took nothing for several of them is gone, although its connection is there. */
  beat(): void {
    this.#unread = this.#wake ? 0 : this.#unread + 1;
    if (this.#unread > MAX_UNREAD) this.end();
    else if (this.#length === 0) this.add(BEAT);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#wake?.();
    this.#onEnd();
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          if (this.#waiting.length === 0 && !this.#isOver) await this.#more();
          if (this.#isOver) return controller.close();
          const [first] = this.#waiting;
          controller.enqueue(this.#waiting.length === 1 ? first! : Buffer.concat(this.#waiting));
          [this.#waiting, this.#length] = [[], 0];
        },
        cancel: () => this.end(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Waits for the rest of what comes at the same moment too, so that it is one write. */
  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}
