// Turns a backend's tokens into an answer's text: cuts at stop strings, and ends a JSON answer when its value closes.
// Pure; it knows neither backends nor HTTP.

/** Lets text through except what is, or may become, a stop string. */
export class StopScanner {
  readonly #stops: readonly string[];
  #held = "";
  stopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** The text that may go out now. */
  push(text: string): string {
    if (this.stopped) return "";
    const all = this.#held + text;
    const at = firstStop(all, this.#stops);
    if (at !== -1) {
      this.stopped = true;
      this.#held = "";
      return all.slice(0, at);
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - held);
    return all.slice(0, all.length - held);
  }

  /** What was held back, when nothing more comes. */
  flush(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }
}

function firstStop(text: string, stops: readonly string[]): number {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at !== -1);
  return found.length === 0 ? -1 : Math.min(...found);
}

/** How many characters at the end of `text` are the beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}

/**
 * Sees when a JSON object, array or string is complete, so that no token is spent on what may follow. Numbers and words
 * can always go on, so they end when the model ends them.
 */
export class JsonEnd {
  #depth = 0;
  #inString = false;
  #escaped = false;
  closed = false;

  /** The part of `text` that belongs to the value. */
  push(text: string): string {
    for (let at = 0; at < text.length; at++) {
      this.#see(text[at]!);
      if (this.closed) return text.slice(0, at + 1);
    }
    return text;
  }

  #see(char: string): void {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString) this.#seeInString(char);
    else if (char === '"') this.#inString = true;
    else if (char === "{" || char === "[") this.#depth++;
    else if (char === "}" || char === "]") this.closed = --this.#depth <= 0;
  }

  #seeInString(char: string): void {
    if (char === "\\") this.#escaped = true;
    if (char !== '"') return;
    this.#inString = false;
    this.closed = this.#depth === 0;
  }
}
