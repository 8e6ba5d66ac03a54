// What the worker itself keeps of schedules, in the folder schedules/ of KAMADO_DATA_DIR: own.json, those that were added in the console,
// written like the owner's file; and state.json, which run of each was the last one. Owns that a change is whole, that what another version
// wrote stays in the file, and that a damaged file is set aside. Without a folder all of it is kept in memory.
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { replaceSettingsFile } from "../config/settings-file.ts";
import type { Log } from "../logging/log.ts";

const LastRun = z.object({
  /** The time that it was for, in epoch milliseconds. */
  at: z.number(),
  /** `missed`: the machine slept, and it is not made up for. `skipped`: the run before it had no result yet. */
  outcome: z.enum(["sent", "skipped", "missed", "failed"]),
  error: z.object({ code: z.string(), message: z.string() }).optional().catch(undefined),
});
export type LastRun = z.output<typeof LastRun>;

const State = z.object({
  /** Every run up to this time is over with, in epoch milliseconds. */
  upTo: z.number(),
  /** Of which cron expression and time zone that is true. */
  when: z.string(),
  last: LastRun.nullable().catch(null),
  /** The job that was sent last. */
  job: z.object({ id: z.string(), sentAt: z.number() }).nullable().catch(null),
  /** Somebody turned off a schedule of the owner's file, or on again. */
  enabled: z.boolean().optional().catch(undefined),
});
export type State = z.output<typeof State>;

const States = z.record(z.string(), z.unknown());
const Own = z.array(z.unknown());

export class ScheduleStore {
  readonly #folder: string | undefined;
  readonly #log: Log;
  readonly states = new Map<string, State>();
  /** As they were written; one may be of another version. */
  own: readonly unknown[] = [];
  #writing: Promise<void> = Promise.resolve();

  constructor(folder: string | undefined, log: Log) {
    this.#folder = folder;
    this.#log = log;
    this.own = this.#read("own.json", Own) ?? [];
    for (const [name, written] of Object.entries(this.#read("state.json", States) ?? {})) {
      const { data } = State.safeParse(written);
      if (data) this.states.set(name, data);
    }
  }

  #read<T>(name: string, schema: z.ZodType<T>): T | undefined {
    if (this.#folder === undefined) return undefined;
    const path = join(this.#folder, name);
    try {
      return schema.parse(JSON.parse(readFileSync(path, "utf8")));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") this.#setAside(path, thrown as Error);
      return undefined;
    }
  }

  #setAside(path: string, why: Error): void {
    const aside = `${path}.damaged`;
    try {
      renameSync(path, aside);
      this.#log.warn({ stage: "schedules", err: why }, `${path} is damaged and was set aside as ${aside}`);
    } catch (thrown) {
      this.#log.warn({ stage: "schedules", err: thrown }, `${path} cannot be read: ${why.message}`);
    }
  }

  /**
   * Changes are made one after the other, each to what the file holds then: somebody may have written into it. Throws what `change` throws,
   * `config_invalid` or `disk_full`; then nothing has changed.
   */
  changeOwn(change: (own: readonly unknown[]) => readonly unknown[]): Promise<void> {
    return this.#inTurn(async () => {
      const own = change(this.#folder === undefined ? this.own : (this.#read("own.json", Own) ?? []));
      await this.#write("own.json", own);
      this.own = own;
    });
  }

  /** Written in the background: a slow disk delays no run. What cannot be written is still true as long as this process runs. */
  keepStates(): void {
    this.#inTurn(() => this.#write("state.json", Object.fromEntries(this.states))).catch((thrown) =>
      this.#log.warn(
        { stage: "schedules", err: thrown },
        `which runs were made is not kept: ${thrown.message}`,
      ),
    );
  }

  /** Resolves when everything is written. */
  idle(): Promise<void> {
    return this.#writing;
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    const written = this.#writing.then(write);
    this.#writing = written.catch(() => {});
    return written;
  }

  async #write(name: string, value: unknown): Promise<void> {
    if (this.#folder === undefined) return;
    await replaceSettingsFile(join(this.#folder, name), `${JSON.stringify(value, null, 2)}\n`);
  }
}
