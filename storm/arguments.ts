// The storm's command line. Pure.
import { parseArgs } from "node:util";
import { KamadoError } from "../worker/errors.ts";
import { MOST_JOBS } from "./jobs.ts";
import type { Options } from "./plan.ts";

export const USAGE = `npm run storm -- [--jobs 2000] [--kills 200] [--seed N] [--workers 3] [--seconds N] [--keep]

  Sends jobs to one queue. Several worker processes work on it while they are killed, stopped and started again, the network
  loses, delays and repeats requests, and receivers fail. At the end the storm looks for every job, from the outside.
  --jobs     up to ${MOST_JOBS}
  --kills    how many faults are injected into workers and engines
  --seed     the same seed gives the same plan; a new one by default
  --seconds  the time over which jobs are sent and faults injected
  --keep     keeps the folder with the logs even if nothing is wrong`;

type NumberFlag = "jobs" | "kills" | "seed" | "workers" | "seconds";
export type Arguments = Options & { keep: boolean };

/** Returns null when help is wanted. Throws `config_invalid` with the flag's name. */
export function parseArguments(args: readonly string[], newSeed: () => number): Arguments | null {
  const { values } = parse(args);
  if (values.help) return null;
  const whole = (flag: NumberFlag, preset: number, min: number, max = Infinity) => {
    const text = values[flag];
    if (text === undefined) return preset;
    if (/^\d{1,9}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text);
    const range = max === Infinity ? `from ${min} on` : `from ${min} to ${max}`;
    throw new KamadoError("config_invalid", `--${flag}: must be a whole number ${range}, not ${text}.`);
  };
  const jobs = whole("jobs", 2_000, 1, MOST_JOBS);
  const kills = whole("kills", 200, 0);
  return {
    jobs,
    kills,
    seed: whole("seed", newSeed(), 0),
    workers: whole("workers", 3, 1),
    seconds: whole("seconds", secondsFor(jobs, kills), 1),
    keep: values.keep ?? false,
  };
}

/** Two cores do about 12 jobs a second while processes restart. One fault a second leaves time to restart. */
const secondsFor = (jobs: number, kills: number) => Math.ceil(Math.max(4, jobs / 12, kills));

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        jobs: text,
        kills: text,
        seed: text,
        workers: text,
        seconds: text,
        keep: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
  } catch (thrown) {
    throw new KamadoError("config_invalid", (thrown as Error).message);
  }
}
