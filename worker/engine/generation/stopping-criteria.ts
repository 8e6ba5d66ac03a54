// Where the text of an answer ends: before a stop string, or when its JSON value is complete. Pure.

/** Passes text on, except a stop string and the end of a text that may become one. */
export class StopScanner {
  readonly #stops: readonly string[];
  #rest = "";
  stopped = false;

  constructor(stops: readonly string[]) {
    // Half of a surrogate pair is in no text; to find it inside a pair would cut the character in two.
    this.#stops = stops.filter((stop) => stop !== "" && stop.isWellFormed());
  }

  /** The text that can be passed on now. */
  push(text: string): string {
    if (this.stopped) return "";
    const all = this.#rest + text;
    const at = firstStop(all, this.#stops);
    if (at !== -1) {
      this.stopped = true;
      this.#rest = "";
      return all.slice(0, at);
    }
    const kept = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#rest = all.slice(all.length - kept);
    return all.slice(0, all.length - kept);
  }

  /** The rest of the text, when no more comes. */
  flush(): string {
    const rest = this.#rest;
    this.#rest = "";
    return rest;
  }
}

function firstStop(text: string, stops: readonly string[]): number {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at !== -1);
  return found.length === 0 ? -1 : Math.min(...found);
}

/** How many characters at the end of `text` are a beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}

/**
 * Finds the end of a JSON object, array or string, so that no token is spent after it. The end of a number or a word cannot be
 * seen; the model ends it.
 */
export class JsonEnd {
  #depth = 0;
  #inString = false;
  #escaped = false;
  closed = false;

  /** The part of `text` that belongs to the value. */
  push(text: string): string {
    for (let at = 0; at < text.length; at++) {
      this.#read(text[at]!);
      if (this.closed) return text.slice(0, at + 1);
    }
    return text;
  }

  #read(char: string): void {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString) this.#readInString(char);
    else if (char === '"') this.#inString = true;
    else if (char === "{" || char === "[") this.#depth++;
    else if (char === "}" || char === "]") this.closed = --this.#depth <= 0;
  }

  #readInString(char: string): void {
    if (char === "\\") this.#escaped = true;
    if (char !== '"') return;
    this.#inString = false;
    this.closed = this.#depth === 0;
  }
}
