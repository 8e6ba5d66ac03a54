// The storm's command line. Pure.
import { parseArgs } from "node:util";
import { KamadoError } from "../worker/errors.ts";
import { MOST_JOBS } from "./jobs.ts";
import type { Options } from "./plan.ts";

export const USAGE = `npm run storm -- [--jobs 2000] [--kills 200] [--seed N] [--workers 3] [--seconds N] [--keep]

  Jobs on one queue, worked on by several worker processes that are killed, stopped and started again, over a network that
  loses, delays and repeats, for receivers that fail. At the end every job is looked for, from the outside.
  --jobs     up to ${MOST_JOBS}
  --seed     the same seed is the same plan; a new one by default
  --seconds  over which jobs come and blows fall
  --keep     keeps the folder with the logs though all is well`;

type NumberFlag = "jobs" | "kills" | "seed" | "workers" | "seconds";
export type Asked = Options & { keep: boolean };

/** Throws `config_invalid`, which names the flag; null when help is wanted. */
export function askedOf(args: readonly string[], newSeed: () => number): Asked | null {
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

/** So many jobs a second is what two cores do beside all that starts anew; a blow a second leaves time to get up. */
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
