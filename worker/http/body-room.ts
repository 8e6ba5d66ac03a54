// How much of the bodies of requests a server holds in memory at the same time, all of them together. How long one body may be is left to who
// reads it.

/** A request that does not say how long its body is. Bytes. */
const UNKNOWN = 16 * 1024 * 1024;

export class BodyRoom {
  readonly #most: number;
  #held = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Room for a body, until `leave` is called; undefined when there is none. One that is larger than all the room gets in when it is alone. */
  enter({ headers, body }: Pick<Request, "headers" | "body">): { leave(): void } | undefined {
    const announced = Number(headers.get("content-length") ?? UNKNOWN);
    const bytes = body === null ? 0 : Math.min(announced, this.#most);
    if (this.#held + bytes > this.#most) return undefined;
    this.#held += bytes;
    const leave = () => {
      this.#held -= bytes;
    };
    return { leave };
  }
}
