// A secret that stands in a file: read again when the file has changed, so that a secret rotates without a restart. What it
// was stays in use while the file is away or holds nothing usable.
import { readFileSync, statSync } from "node:fs";
import { Secret } from "./secret.ts";

export class FileSecret extends Secret {
  readonly #path: string;
  readonly #isUsable: (text: string) => boolean;
  #value: string;
  #stamp: string;

  /** `value` is what was read just now and found usable. */
  constructor(path: string, value: string, isUsable: (text: string) => boolean) {
    super(value);
    this.#path = path;
    this.#isUsable = isUsable;
    this.#value = value;
    this.#stamp = stampOf(path);
  }

  override reveal(): string {
    const stamp = stampOf(this.#path);
    if (stamp === this.#stamp || stamp === "") return this.#value;
    const text = read(this.#path);
    if (text === null || !this.#isUsable(text)) return this.#value;
    // Looked at before it was read: a change in between is seen the next time.
    this.#stamp = stamp;
    this.#value = text;
    return text;
  }
}

/** Which state of a file this is; a mounted secret is another file after each change. Empty when there is none. */
function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  } catch {
    return "";
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}
