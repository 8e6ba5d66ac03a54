// What a storm will do, computed from its seed alone: which jobs are sent when, which worker or engine is killed, stopped or
// paused when, and what happens to the nth request at the proxy and at the receivers. Pure. When a fault really takes effect
// depends on the operating system; execute-plan.ts carries the plan out.
import { createHash } from "node:crypto";
import { type PlannedJob, RANDOM_SHAPES, type ShapeName } from "./jobs.ts";

export type Options = {
  seed: number;
  jobs: number;
  /** How many faults are injected into workers and engines. */
  kills: number;
  workers: number;
  /** The time over which jobs are sent and faults injected. */
  seconds: number;
};

/** A fault in a worker process or in its engine. */
export type ProcessFault = {
  /** Not before this, in ms from the start. */
  at: number;
  worker: number;
  /** It may hit a worker that is still starting. Otherwise it waits until the worker is ready. */
  early: boolean;
} & (
  | { do: "kill" | "terminate" }
  | { do: "kill-engine" | "terminate-engine" }
  /** SIGSTOP, and SIGCONT after this time. */
  | { do: "pause"; forMs: number }
  | { do: "pause-engine"; forMs: number }
);

/** During an outage the proxy closes every connection at once ("refuse") or never answers ("swallow"). */
export type Outage = { at: number; forMs: number; how: "refuse" | "swallow" };

/** What the proxy does with a request to SQS, S3 or SNS. */
export type RequestFault =
  | { is: "none" | "lose-request" | "lose-answer" | "twice" }
  | { is: "delay"; ms: number }
  | { is: "error"; how: "internal" | "unavailable" | "throttled" };

/** What a receiver does with a request. After `accept` it has taken the result, whatever it answers. */
export type ReceiverFault =
  | {
      is:
        | "accept"
        | "fail"
        | "busy"
        | "hang-up"
        | "accept-then-hang-up"
        | "no-answer"
        | "accept-then-no-answer";
    }
  | { is: "accept-late"; ms: number };

export type Plan = Options & {
  list: PlannedJob[];
  processFaults: ProcessFault[];
  outages: Outage[];
  hash: string;
};

export const RECEIVERS = 4;

const PROCESS_FAULTS = {
  kill: 30,
  terminate: 15,
  pause: 15,
  "kill-engine": 20,
  "terminate-engine": 10,
  "pause-engine": 10,
} as const;
const REQUEST_FAULTS = {
  none: 850,
  "lose-request": 30,
  "lose-answer": 30,
  twice: 20,
  delay: 40,
  error: 30,
} as const;
const RECEIVER_FAULTS = {
  accept: 780,
  "accept-late": 60,
  fail: 50,
  busy: 20,
  "hang-up": 30,
  "accept-then-hang-up": 50,
  "no-answer": 5,
  "accept-then-no-answer": 5,
} as const;

/** The same options give the same plan and the same hash. */
export function planOf(options: Options): Plan {
  const list = jobsOf(options);
  const processFaults = processFaultsOf(options);
  const outages = outagesOf(options);
  const firstRequests = Array.from({ length: 1_000 }, (_, nth) => [
    requestFaultOf(options.seed, nth),
    receiverFaultOf(options.seed, nth),
  ]);
  const all = JSON.stringify([options, list, processFaults, outages, firstRequests]);
  const hash = createHash("sha256").update(all).digest("hex").slice(0, 12);
  return { ...options, list, processFaults, outages, hash };
}

function jobsOf({ seed, jobs, seconds }: Options): PlannedJob[] {
  const random = randomOf(seed, "jobs");
  const rare = rareShapes(jobs, random);
  return Array.from({ length: jobs }, (_, index) => {
    const shape = rare.get(index) ?? random.weighted(RANDOM_SHAPES);
    // The first fifth is a backlog. The last job is sent early enough that faults can still hit it.
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

/** One job in 400 has its engine killed, one in 250 crashes it every time. At least one of each where there is room. */
function rareShapes(jobs: number, random: Random): Map<number, ShapeName> {
  const rare = new Map<number, ShapeName>();
  const freeIndex = (): number => {
    const index = random.whole(0, jobs - 1);
    return rare.has(index) ? freeIndex() : index;
  };
  const wanted = { "engine-killed": Math.ceil(jobs / 400), poison: Math.ceil(jobs / 250) } as const;
  for (const [shape, count] of Object.entries(wanted) as [ShapeName, number][])
    for (let nth = 0; nth < count && rare.size < jobs; nth++) rare.set(freeIndex(), shape);
  return rare;
}

function processFaultsOf({ seed, kills, seconds, workers }: Options): ProcessFault[] {
  // This name is part of what a seed stands for: with another one every seed would give another plan.
  const random = randomOf(seed, "blows");
  const faults = Array.from({ length: kills }, (): ProcessFault => {
    const common = {
      at: random.whole(500, seconds * 1_000),
      worker: random.whole(0, workers - 1),
      early: random.next() < 0.15,
    };
    const how = random.weighted(PROCESS_FAULTS);
    return how === "pause" || how === "pause-engine"
      ? { ...common, do: how, forMs: random.whole(300, 12_000) }
      : { ...common, do: how };
  });
  return faults.sort((a, b) => a.at - b.at);
}

function outagesOf({ seed, seconds }: Options): Outage[] {
  const random = randomOf(seed, "outages");
  return Array.from({ length: Math.floor(seconds / 25) }, (_, nth) => ({
    at: nth * 25_000 + random.whole(2_000, 20_000),
    forMs: random.whole(500, 4_000),
    how: random.pick(["refuse", "swallow"] as const),
  }));
}

/** What happens to the nth request through the proxy. */
export function requestFaultOf(seed: number, nth: number): RequestFault {
  const random = randomOf(seed, `fault ${nth}`);
  const is = random.weighted(REQUEST_FAULTS);
  if (is === "delay") return { is, ms: random.whole(50, 2_000) };
  if (is === "error") return { is, how: random.pick(["internal", "unavailable", "throttled"]) };
  return { is };
}

/** What the receivers do with the nth request to any of them. */
export function receiverFaultOf(seed: number, nth: number): ReceiverFault {
  const random = randomOf(seed, `act ${nth}`);
  const is = random.weighted(RECEIVER_FAULTS);
  return is === "accept-late" ? { is, ms: random.whole(50, 1_500) } : { is };
}

type Random = {
  /** 0 <= x < 1 */
  next(): number;
  /** A whole number from `min` to `max`, both included. */
  whole(min: number, max: number): number;
  pick<T>(from: readonly T[]): T;
  /** One of the names. Its weight says how likely it is. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name;
};

/** Every number comes from the seed and a name, so that one part of a plan can grow without changing the others. */
function randomOf(seed: number, name: string): Random {
  let state = fnv1a(`${seed}:${name}`);
  // mulberry32: short, and good enough to choose faults.
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    whole,
    pick: (from) => from[whole(0, from.length - 1)]!,
    weighted: (weights) => weighted(weights, next()),
  };
}

function weighted<Name extends string>(weights: Readonly<Record<Name, number>>, at: number): Name {
  const entries = Object.entries(weights) as [Name, number][];
  let left = at * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [name, weight] of entries) {
    left -= weight;
    if (left < 0) return name;
  }
  return entries.at(-1)![0];
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
