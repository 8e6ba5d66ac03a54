// What jobs have found out so far, as files of a folder on this machine: for a command that runs a job without a queue and a bucket. Owns
// their names, and that none is older than a week.
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { KamadoError } from "../errors.ts";
import type { Checkpoints } from "../job/handler.ts";
import { writeStateFile } from "../state-file.ts";
import { CHECKPOINT_DAYS } from "./checkpoints.ts";

const MAX_AGE_MS = CHECKPOINT_DAYS * 86_400_000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export type CheckpointFiles = Checkpoints & {
  /** How many steps an earlier run has left. */
  count(): number;
  remove(): void;
};

/** Those of one job, in a folder of its own below `folder`. Old ones of all jobs are removed. */
export function checkpointFiles(folder: string, job: string): CheckpointFiles {
  removeOld(folder);
  const own = join(folder, job);
  const pathOf = (name: string) => {
    if (NAME.test(name)) return join(own, `${name}.json`);
    throw new KamadoError("storage_unavailable", `A checkpoint cannot be called ${name}.`);
  };
  return {
    async get(name) {
      try {
        return JSON.parse(readFileSync(pathOf(name), "utf8")).value;
      } catch {
        // Not there, or cut off by a full disk: the step is done again.
        return undefined;
      }
    },
    async put(name, value) {
      try {
        writeStateFile(pathOf(name), { value });
      } catch (cause) {
        throw new KamadoError(
          "storage_unavailable",
          `${own} cannot be written: ${(cause as Error).message}`,
          { cause },
        );
      }
    },
    count: () => (existsSync(own) ? readdirSync(own).filter((name) => name.endsWith(".json")).length : 0),
    remove: () => rmSync(own, { recursive: true, force: true }),
  };
}

function removeOld(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > MAX_AGE_MS) rmSync(path, { recursive: true, force: true });
  }
}
