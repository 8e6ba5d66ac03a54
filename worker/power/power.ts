// Puts the power part of a worker together: what is read of the machine, the policies that pause pulling, and the energy of jobs.
import type { Clock } from "../async/clock.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { Log } from "../logging/log.ts";
import { JobEnergy } from "./job-energy.ts";
import type { Ineffective, Pause, PolicySettings } from "./policies.ts";
import type { PowerReader } from "./power-reader.ts";
import { PullingPause } from "./pulling-pause.ts";
import { wordsOf } from "./quiet-hours.ts";
import { type Reading, wattsOf } from "./reading.ts";

/** What pages and commands see. */
export type PowerState = {
  /** Null while the last one is too old: then one is under way. */
  reading: Reading | null;
  /** Of GPU and CPU together, as far as they are known. */
  watts?: number;
  paused: (Pause & { since: number }) | null;
  policies: { quietHours: string[]; yieldIdleSeconds: number; maxTemperature: number | string | null };
  /** Policies that are set and cannot work here. */
  ineffective: readonly Ineffective[];
};

/** What was read before is not how it is now. */
const OLD_MS = 60_000;

export type Power = ReturnType<typeof createPower>;

export function createPower(options: {
  settings: PolicySettings;
  reader: PowerReader;
  clock: Clock;
  log: Log;
}) {
  const { settings, reader, clock } = options;
  const pause = new PullingPause(options);
  const watts = async () => wattsOf(await reader.read(["gpuWatts", "cpuWatts"]));
  const energy = new JobEnergy({ watts, clock });
  const { quietHours, yieldIdleSeconds, maxTemperature = null } = settings;
  const policies = { quietHours: quietHours.map(wordsOf), yieldIdleSeconds, maxTemperature };

  /** What is known now. Whoever calls it looks, so what is older than a few seconds is read anew, for the next call. */
  function look(): PowerState {
    const latest = reader.latest();
    const reading = latest && clock.wall() - latest.at < OLD_MS ? latest : null;
    void reader.read();
    const all = reading ? wattsOf(reading) : undefined;
    const { ineffective } = pause;
    return { reading, ...(all !== undefined && { watts: all }), paused: pause.pause, policies, ineffective };
  }

  return {
    pause,
    look,
    /** The same with figures of now, for whoever asks rarely and can wait. */
    async lookNow(): Promise<PowerState> {
      await reader.read();
      return look();
    },
    /** Of a job that runs or ended lately; undefined where no watts can be read. */
    joulesOf: (job: string) => energy.joulesOf(job),
    start(jobEvents: JobEvents): void {
      jobEvents.subscribe((event) => energy.onEvent(event));
      pause.start();
    },
    stop: async (): Promise<void> => void (await Promise.all([pause.stop(), energy.stop()])),
  };
}

/** Whoever reads `power` of it looks at the machine; whoever does not, as /health, runs no command. */
export const withPower = <T extends object>(
  state: T,
  power: Pick<Power, "look"> | undefined,
): T & { power?: PowerState } =>
  power === undefined
    ? state
    : Object.defineProperty({ ...state }, "power", { enumerable: true, get: () => power.look() });
