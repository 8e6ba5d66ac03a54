// All workers of a storm: who is struck, how often they were started, and their end. One of them is in worker.ts.
import { setTimeout as sleep } from "node:timers/promises";
import type { Exit } from "./observed.ts";
import type { Blow } from "./plan.ts";
import { Member, type MemberOptions } from "./worker.ts";

/** So many starts in a row that end by themselves at once: it will not start. */
const STILLBORN = 4;

export class Crew {
  readonly #members: Member[];

  constructor(options: MemberOptions & { count: number }) {
    this.#members = Array.from({ length: options.count }, (_, index) => new Member(index, options));
  }

  /** Resolves when the blow has fallen. One that finds nobody waits until there is somebody. */
  async strike(blow: Blow, over: AbortSignal): Promise<void> {
    const member = this.#members[blow.worker]!;
    while (!over.aborted && !(await member.suffer(blow))) await sleep(100);
  }

  /** How often a worker was started. */
  get starts(): number {
    return this.#members.reduce((sum, { starts }) => sum + starts, 0);
  }

  /** How every life of a worker ended. */
  get exits(): Exit[] {
    return this.#members.flatMap(({ exits }) => exits);
  }

  /** The log of a worker that does not start, when there is one. */
  get trouble(): string | undefined {
    return this.#members.find((member) => member.stillborn >= STILLBORN)?.logFile;
  }

  /** Ends all in order, or at once; what does not end is killed. May be called twice. */
  async stop(how: "SIGTERM" | "SIGKILL"): Promise<void> {
    await Promise.all(this.#members.map((member) => member.stop(how)));
  }
}
