// What counts as trouble: from what the worker knows of itself, which conditions a person should hear of. How long one must last and how
// often it is told is left to episodes.ts. Pure.
import { plural, sizeWords } from "../amounts.ts";
import { LITTLE_FREE } from "../free-disk.ts";

export const CONDITIONS = [
  "engine",
  "queue",
  "outbox",
  "bucket",
  "start_check",
  "disk",
  "dead_jobs",
  "dead_deliveries",
  "destinations_off",
] as const;
export type ConditionName = (typeof CONDITIONS)[number];

export type Condition = {
  name: ConditionName;
  /** ASCII, because headers of HTTP take no more. */
  title: string;
  message: string;
  hint: string;
  /** What grows when it gets worse. */
  level?: number;
};

type Answering = { health: string; hint?: string };
type Said = { code: string; message: string; hint: string };

/** The part of the worker's state that is looked at. */
export type Watched = {
  queue: Answering & { url: string };
  deliveries: (Answering & { url: string }) | null;
  engine: { answers: boolean; error?: Said };
  bucket: Answering & { name: string };
  startCheck?: { error?: Said };
  disk?: { folder: string; freeBytes: number };
};

/** How many dead letters there are, and how many there were before. Null: not counted. */
export type DeadLetters = { now: number; before: number };

export type Found = {
  state: Watched;
  deadJobs: DeadLetters | null;
  deadDeliveries: DeadLetters | null;
  /** Destinations that are turned off, as they may be shown. Null: not known. */
  off: readonly string[] | null;
};

/** Each condition that holds. `null`: it cannot be told now, so what was the case is taken to go on. */
export type Conditions = Partial<Record<ConditionName, Condition | null>>;

/** `open`: those that held before. */
export function conditionsOf(found: Found, open: ReadonlySet<ConditionName>): Conditions {
  const { state } = found;
  const all = {
    engine: engineOf(state),
    queue: silent("queue", "The queue does not answer", state.queue, state.queue.url),
    outbox:
      state.deliveries &&
      silent("outbox", "The outbox does not answer", state.deliveries, state.deliveries.url),
    bucket: silent("bucket", "The bucket does not answer", state.bucket, state.bucket.name),
    start_check: saidBy("start_check", "The check before the first job fails", state.startCheck?.error),
    disk: diskOf(state, open.has("disk")),
    dead_jobs: deadOf("dead_jobs", "jobs", found.deadJobs),
    dead_deliveries: deadOf("dead_deliveries", "deliveries", found.deadDeliveries),
    destinations_off: offOf(found.off),
  } satisfies Record<ConditionName, Condition | null | undefined>;
  return Object.fromEntries(Object.entries(all).filter(([, condition]) => condition !== undefined));
}

/** An engine that loads its model neither answers nor fails. */
function engineOf({ engine }: Watched): Condition | null | undefined {
  if (engine.error) return saidBy("engine", "The engine does not answer", engine.error);
  return engine.answers ? undefined : null;
}

function saidBy(name: ConditionName, title: string, error: Said | undefined): Condition | undefined {
  return error && { name, title, message: `${error.code}: ${error.message}`, hint: error.hint };
}

/** Too many calls pass by themselves. */
function silent(
  name: ConditionName,
  title: string,
  { health, hint }: Answering,
  what: string,
): Condition | undefined {
  if (health === "ok" || health === "throttled") return undefined;
  return { name, title, message: `${what}: ${health}.`, hint: hint ?? "" };
}

/** Once it was told, a little more space than the limit is needed, or each file that comes and goes would be news. */
function diskOf({ disk }: Watched, isOpen: boolean): Condition | undefined {
  if (!disk || disk.freeBytes >= LITTLE_FREE * (isOpen ? 1.2 : 1)) return undefined;
  return {
    name: "disk",
    title: "The disk is nearly full",
    message: `${sizeWords(disk.freeBytes)} are free for ${disk.folder}.`,
    hint: "Free some space; without it no result can be stored there.",
  };
}

function deadOf(name: ConditionName, what: string, dead: DeadLetters | null): Condition | null | undefined {
  if (dead === null) return null;
  const { now, before } = dead;
  if (now <= before) return undefined;
  return {
    name,
    title: `New dead letters of ${what}`,
    message: `About ${now - before} new, ${now} in all.`,
    hint: "`kamado dead` shows them with their reasons, `kamado dead redrive` sends them back.",
    level: now,
  };
}

const SHOWN = 5;

function offOf(off: readonly string[] | null): Condition | null | undefined {
  if (off === null) return null;
  if (off.length === 0) return undefined;
  const more = off.length > SHOWN ? `, and ${off.length - SHOWN} more` : "";
  return {
    name: "destinations_off",
    title: "Deliveries are turned off",
    message: `${plural(off.length, "destination")} answered 410 and gets no results any more: ${off.slice(0, SHOWN).join(", ")}${more}.`,
    hint: "Once it works again, run `kamado dead redrive --destination ...`.",
    level: off.length,
  };
}
