// At most so many at once; the others wait in line.

export class Semaphore {
  #free: number;
  readonly #line: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#line.push(resolve));
    try {
      return await work();
    } finally {
      // A turn is handed over, never put back and taken again, so that nobody can slip in between.
      const next = this.#line.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
