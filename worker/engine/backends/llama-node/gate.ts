// One picture at a time: while the library looks at one it stands still, and whoever speaks to it stands still with it, the
// whole process included. So nobody does; who came meanwhile goes in before the next picture.
export class Gate {
  #closed = false;
  readonly #pictures: (() => void)[] = [];
  readonly #texts: (() => void)[] = [];

  /** Resolves when the library may be spoken to. Who brings a picture calls `leave` when it has been looked at. */
  async enter(picture: boolean, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#closed) await this.#wait(picture ? this.#pictures : this.#texts, signal);
    if (picture) this.#closed = true;
  }

  leave(): void {
    for (const go of this.#texts.splice(0)) go();
    const next = this.#pictures.shift();
    if (next) next();
    else this.#closed = false;
  }

  /** Who is let in is in, even if its client goes away at that very moment. */
  #wait(line: (() => void)[], signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const go = () => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = () => {
      line.splice(line.indexOf(go), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    line.push(go);
    return promise;
  }
}
