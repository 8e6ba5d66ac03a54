// Which jobs run in this process now. Two messages may carry the same job; the second waits for the first one's result.

export class Claims {
  readonly #ids = new Set<string>();

  open(): Claim {
    return new Claim(this.#ids);
  }
}

export class Claim {
  readonly #ids: Set<string>;
  #id: string | undefined;

  constructor(ids: Set<string>) {
    this.#ids = ids;
  }

  /** False when the job runs already. */
  take(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    this.#id = id;
    return true;
  }

  close(): void {
    if (this.#id !== undefined) this.#ids.delete(this.#id);
  }
}
