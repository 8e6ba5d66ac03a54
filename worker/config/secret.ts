// A value that must not be seen: it prints as [secret] wherever values get printed, and is read only by name.
import { inspect } from "node:util";

const SHOWN = "[secret]";

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it where the value is used, never where it is passed on. */
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
