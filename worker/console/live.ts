// Pages that change by themselves: the changing part of a page is drawn again at most so often, once for all who look at the same page in
// the same way, and sent to them as server-sent events when it is another than before. Nothing is drawn that nobody looks at.
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";

/** Draws the part of a page that changes. */
export type Draw = () => Promise<string>;

export type LivePage = {
  /** What makes it another page: the address, the language, the rights of who looks. */
  key: string;
  draw: Draw;
  /** The shortest time between two drawings. */
  everyMs: number;
  /** Draws only after a change of a job, and not by time. */
  onChange: boolean;
};

/** Every reader costs a connection and one page in memory; browsers open few, because hidden pages close theirs. */
const MOST_READERS = 200;
const PING_MS = 20_000;

type Reader = { wake(): void };

const eventOf = (text: string): Uint8Array =>
  new TextEncoder().encode(`event: live\n${text.replaceAll(/^/gm, "data: ")}\n\n`);

/** One page and those who look at it. */
class Shared {
  readonly page: LivePage;
  readonly readers = new Set<Reader>();
  /** The event of the latest drawing, made once for all; null before the first. */
  event: Uint8Array | null = null;
  #text = "";
  #timer: NodeJS.Timeout | undefined;
  #isDrawing = false;
  #isStale = true;
  #drawnAt = 0;

  constructor(page: LivePage) {
    this.page = page;
  }

  changed(): void {
    this.#isStale = true;
    this.schedule();
  }

  schedule(): void {
    if (this.#timer !== undefined || this.#isDrawing || this.readers.size === 0) return;
    if (this.page.onChange && !this.#isStale) return;
    const wait = Math.max(0, this.#drawnAt + this.page.everyMs - Date.now());
    this.#timer = setTimeout(() => void this.#draw(), wait);
  }

  async #draw(): Promise<void> {
    this.#timer = undefined;
    this.#isStale = false;
    this.#isDrawing = true;
    // What cannot be drawn now is drawn later; the page keeps what it shows.
    const text = await this.page.draw().catch(() => this.#text);
    this.#isDrawing = false;
    this.#drawnAt = Date.now();
    if (text !== this.#text) {
      this.#text = text;
      this.event = eventOf(text);
      for (const reader of this.readers) reader.wake();
    }
    this.schedule();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

export class LivePages {
  readonly #pages = new Map<string, Shared>();
  readonly #subscribe: (changed: () => void) => () => void;
  #unsubscribe: (() => void) | undefined;
  #readers = 0;

  /** `subscribe` calls its listener with every change of a job. */
  constructor(subscribe: (changed: () => void) => () => void) {
    this.#subscribe = subscribe;
  }

  get readers(): number {
    return this.#readers;
  }

  /** An answer that goes on until its reader leaves. A slow one gets the newest state and not those between. */
  answer(context: Context, page: LivePage): Response {
    if (this.#readers >= MOST_READERS) return context.text("Too many pages are open.\n", 503);
    const { shared, leave, reader, next } = this.#enter(page);
    return streamSSE(context, async (stream) => {
      stream.onAbort(() => {
        leave();
        reader.wake();
      });
      let sent: Uint8Array | undefined;
      while (!stream.aborted && !stream.closed) {
        if (shared.event !== null && shared.event !== sent) {
          sent = shared.event;
          await stream.write(sent);
        } else if ((await next()) === "late") await stream.write(": open\n\n");
      }
      leave();
    });
  }

  #enter(page: LivePage) {
    const shared = this.#pages.get(page.key) ?? new Shared(page);
    this.#pages.set(page.key, shared);
    let woken = Promise.withResolvers<"woken">();
    const reader: Reader = { wake: () => woken.resolve("woken") };
    shared.readers.add(reader);
    this.#readers += 1;
    this.#unsubscribe ??= this.#subscribe(() => {
      for (const one of this.#pages.values()) if (one.page.onChange) one.changed();
    });
    shared.schedule();
    const next = async (): Promise<"woken" | "late"> => {
      const late = Promise.withResolvers<"late">();
      const timer = setTimeout(() => late.resolve("late"), PING_MS);
      const what = await Promise.race([woken.promise, late.promise]);
      clearTimeout(timer);
      if (what === "woken") woken = Promise.withResolvers();
      return what;
    };
    return { shared, reader, next, leave: () => this.#leave(shared, reader) };
  }

  #leave(shared: Shared, reader: Reader): void {
    if (!shared.readers.delete(reader)) return;
    this.#readers -= 1;
    if (shared.readers.size === 0) {
      shared.end();
      this.#pages.delete(shared.page.key);
    }
    if (this.#readers > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}
