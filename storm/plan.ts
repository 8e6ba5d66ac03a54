// What a storm will do, from its seed alone: which jobs come when, who is struck when and how, and what becomes of the nth
// request through the proxy and at the receivers. Pure; when the operating system lets it happen is not known here.
import { createHash } from "node:crypto";
import { type Random, randomOf } from "./random.ts";
import { COMMON, type ShapeName } from "./shapes.ts";

export type Options = {
  seed: number;
  jobs: number;
  kills: number;
  workers: number;
  /** Over which jobs come and blows fall. */
  seconds: number;
};

export type PlannedJob = {
  id: string;
  shape: ShapeName;
  /** When its messages are sent, ms from the start. */
  at: readonly number[];
  /** Which receiver it is told to. */
  receiver: number;
  /** Of `expires`: how long after it is sent, ms. Past already when negative. */
  expiresAfterMs: number;
};

export type Blow = {
  /** Not before this, ms from the start. */
  at: number;
  worker: number;
  /** It may meet its worker while that is starting; otherwise it waits until the worker is at work. */
  early: boolean;
} & (
  | { do: "kill" | "terminate" }
  | { do: "kill-engine" | "terminate-engine" }
  /** SIGSTOP, and SIGCONT after so long. */
  | { do: "freeze"; forMs: number }
  | { do: "freeze-engine"; forMs: number }
);

/** For so long nothing passes the proxy: refused at once, or swallowed without a word. */
export type Outage = { at: number; forMs: number; how: "refuse" | "swallow" };

/** What becomes of a request to the queue, the store or the topic. */
export type Fault =
  | { is: "none" | "lose-request" | "lose-answer" | "twice" }
  | { is: "delay"; ms: number }
  | { is: "error"; how: "internal" | "unavailable" | "throttled" };

/** What a receiver does with a request. */
export type Act =
  | { is: "take" | "fail" | "busy" | "slam" | "take-and-slam" | "hang" | "take-and-hang" }
  | { is: "dawdle"; ms: number };

export type Plan = Options & { list: PlannedJob[]; blows: Blow[]; outages: Outage[]; hash: string };

export const RECEIVERS = 4;

const KILLS = {
  kill: 30,
  terminate: 15,
  freeze: 15,
  "kill-engine": 20,
  "terminate-engine": 10,
  "freeze-engine": 10,
} as const;
const FAULTS = { none: 850, "lose-request": 30, "lose-answer": 30, twice: 20, delay: 40, error: 30 } as const;
const ACTS = {
  take: 780,
  dawdle: 60,
  fail: 50,
  busy: 20,
  slam: 30,
  "take-and-slam": 50,
  hang: 5,
  "take-and-hang": 5,
} as const;

/** The same options give the same plan, and the same hash. */
export function planOf(options: Options): Plan {
  const list = jobsOf(options);
  const blows = blowsOf(options);
  const outages = outagesOf(options);
  const first = Array.from({ length: 1_000 }, (_, nth) => [
    faultOf(options.seed, nth),
    actOf(options.seed, nth),
  ]);
  const all = JSON.stringify([options, list, blows, outages, first]);
  return {
    ...options,
    list,
    blows,
    outages,
    hash: createHash("sha256").update(all).digest("hex").slice(0, 12),
  };
}

function jobsOf({ seed, jobs, seconds }: Options): PlannedJob[] {
  const random = randomOf(seed, "jobs");
  const rare = rareOnes(jobs, random);
  return Array.from({ length: jobs }, (_, index) => {
    const shape = rare.get(index) ?? random.weighted(COMMON);
    // The first ones are a backlog; the last come early enough to be struck, too.
    const at = index < jobs / 5 ? 0 : random.whole(0, seconds * 900);
    return {
      id: `storm-${String(index).padStart(5, "0")}`,
      shape,
      at: shape === "twice" ? [at, at + random.whole(0, 5_000)] : [at],
      receiver: random.whole(0, RECEIVERS - 1),
      expiresAfterMs: random.whole(-2_000, 6_000),
    };
  });
}

/** One in 400 brings bad luck to its engine, one in 500 crashes it whenever it is asked; of each one while there is room. */
function rareOnes(jobs: number, random: Random): Map<number, ShapeName> {
  const rare = new Map<number, ShapeName>();
  const freeOne = (): number => {
    const index = random.whole(0, jobs - 1);
    return rare.has(index) ? freeOne() : index;
  };
  const wanted = { unlucky: Math.ceil(jobs / 400), poison: Math.ceil(jobs / 500) } as const;
  for (const [shape, count] of Object.entries(wanted) as [ShapeName, number][])
    for (let nth = 0; nth < count && rare.size < jobs; nth++) rare.set(freeOne(), shape);
  return rare;
}

function blowsOf({ seed, kills, seconds, workers }: Options): Blow[] {
  const random = randomOf(seed, "blows");
  const blows = Array.from({ length: kills }, (): Blow => {
    const common = {
      at: random.whole(500, seconds * 1_000),
      worker: random.whole(0, workers - 1),
      early: random.next() < 0.15,
    };
    const how = random.weighted(KILLS);
    return how === "freeze" || how === "freeze-engine"
      ? { ...common, do: how, forMs: random.whole(300, 12_000) }
      : { ...common, do: how };
  });
  return blows.sort((a, b) => a.at - b.at);
}

function outagesOf({ seed, seconds }: Options): Outage[] {
  const random = randomOf(seed, "outages");
  return Array.from({ length: Math.floor(seconds / 25) }, (_, nth) => ({
    at: nth * 25_000 + random.whole(2_000, 20_000),
    forMs: random.whole(500, 4_000),
    how: random.pick(["refuse", "swallow"] as const),
  }));
}

/** What becomes of the nth request through the proxy. */
export function faultOf(seed: number, nth: number): Fault {
  const random = randomOf(seed, `fault ${nth}`);
  const is = random.weighted(FAULTS);
  if (is === "delay") return { is, ms: random.whole(50, 2_000) };
  if (is === "error") return { is, how: random.pick(["internal", "unavailable", "throttled"]) };
  return { is };
}

/** What the receivers do with the nth request to any of them. */
export function actOf(seed: number, nth: number): Act {
  const random = randomOf(seed, `act ${nth}`);
  const is = random.weighted(ACTS);
  return is === "dawdle" ? { is, ms: random.whole(50, 1_500) } : { is };
}
