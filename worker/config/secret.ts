// Values that must not be shown, whether they come from the environment or from a file that may change while the worker runs.
import { readFileSync, statSync } from "node:fs";
import { inspect } from "node:util";

const SHOWN = "[secret]";

/** Prints as [secret] wherever values get printed; only `reveal` returns the value. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call this where the value is used, not where it is handed on. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return SHOWN;
  }
  toJSON(): string {
    return SHOWN;
  }
  [inspect.custom](): string {
    return SHOWN;
  }
}

export const secret = (value: string): Secret => new Secret(value);

/**
 * A secret in a file. The file is read again when it has changed, so that a secret can be rotated without a restart. While
 * the file is missing or holds nothing usable, the last usable value stays in use.
 */
export class FileSecret extends Secret {
  readonly #path: string;
  readonly #isUsable: (text: string) => boolean;
  #value: string;
  #version: string;

  /** `value` is what the caller has just read from the file and found usable. */
  constructor(path: string, value: string, isUsable: (text: string) => boolean) {
    super(value);
    this.#path = path;
    this.#isUsable = isUsable;
    this.#value = value;
    this.#version = versionOf(path);
  }

  override reveal(): string {
    const version = versionOf(this.#path);
    if (version === this.#version || version === "") return this.#value;
    const text = read(this.#path);
    if (text === null || !this.#isUsable(text)) return this.#value;
    // The version was taken before the file was read: a change in between is noticed the next time.
    this.#version = version;
    this.#value = text;
    return text;
  }
}

/** A secret that is written in another form where it is used, as a token in a header. It changes with the one it is made of. */
export class MadeSecret extends Secret {
  readonly #from: Secret;
  readonly #make: (value: string) => string;

  constructor(from: Secret, make: (value: string) => string) {
    super("");
    this.#from = from;
    this.#make = make;
  }

  override reveal(): string {
    return this.#make(this.#from.reveal());
  }
}

/** Differs after every change; empty when there is no file. A mounted secret becomes another inode with each change. */
function versionOf(path: string): string {
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
