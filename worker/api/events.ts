// Owns the stream of changes, as server-sent events: any number of readers of one source. Each change is written once for all readers. A
// reader that does not read costs a bounded amount of memory: what it misses is left out, and it is told so.
import type { Change, JobsService } from "./services.ts";

export type EventsOptions = {
  jobs: Pick<JobsService, "subscribe">;
  /** Readers at a time [500]. */
  mostReaders?: number;
  /** Between signs of life [15,000]. */
  heartbeatMs?: number;
};

/** Characters that wait for one reader. */
const MAX_WAITING = 256 * 1024;
/** Changes that a reader may come back for. */
const KEPT = 2_000;
/** Of signs of life in a row that nobody read. */
const MAX_UNREAD = 4;
const RETRY = "retry: 2000\n\n";

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

  #onChange(change: Change): void {
    const number = ++this.#number;
    const { is, ...rest } = change;
    const data = is === "job" ? change.job : rest;
    const text = `id: ${this.#name}.${number}\nevent: ${is}\ndata: ${JSON.stringify(data)}\n\n`;
    const job = is === "job" ? change.job.id : is === "progress" ? change.id : null;
    this.#kept.push({ number, text, job });
    if (this.#kept.length > KEPT) this.#kept.splice(0, KEPT / 2);
    for (const reader of this.#readers) reader.add(text, job);
  }

  #catchUp(reader: Reader, since: string): void {
    const [name, number] = since.split(".");
    const oldest = this.#kept[0]?.number ?? this.#number + 1;
    const isKnown = name === this.#name && Number(number) >= oldest - 1 && Number(number) <= this.#number;
    if (!isKnown) reader.miss();
    else for (const one of this.#kept) if (one.number > Number(number)) reader.add(one.text, one.job);
  }

  #beat(): void {
    for (const reader of this.#readers) reader.beat();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#end?.();
    this.#end = undefined;
    for (const reader of [...this.#readers]) reader.end();
  }
}

const encoder = new TextEncoder();
const MISSED = "event: missed\ndata: {}\n\n";

class Reader {
  readonly #job: string | null;
  readonly #onEnd: () => void;
  #waiting: string[] = [];
  #length = 0;
  #unread = 0;
  #wake: (() => void) | undefined;
  #isOver = false;

  constructor(job: string | null, onEnd: () => void) {
    this.#job = job;
    this.#onEnd = onEnd;
  }

  /** `job`: whom it is about; null for everybody. */
  add(text: string, job: string | null = null): void {
    if (this.#job !== null && job !== null && job !== this.#job) return;
    if (this.#length + text.length > MAX_WAITING) {
      this.miss();
      return;
    }
    this.#waiting.push(text);
    this.#length += text.length;
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
    else if (this.#length === 0) this.add(": \n\n");
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
          controller.enqueue(encoder.encode(this.#waiting.join("")));
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
