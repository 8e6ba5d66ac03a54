// When a condition is told: when it has held for some seconds, again only when it got worse, never more than once an hour, and once when it is
// over. What was told is plain data, so that it can outlive the process. Pure.
import { CONDITIONS, type Condition, type ConditionName, type Conditions } from "./conditions.ts";

/** A condition that comes and goes within this is no trouble. */
const HOLD_MS = 30_000;
/** It must be well for longer: a worker that has just started has not met every trouble again yet. */
const OVER_MS = 60_000;
const HOUR_MS = 3_600_000;

/** Moments are epoch milliseconds. */
export type Episode = {
  /** Absent: the condition does not hold now, and the rest says when it was told. */
  since?: number;
  wellSince?: number;
  /** Whether this episode was told, so that its end is told too. */
  isTold?: boolean;
  toldAt?: number;
  toldLevel?: number;
  /** As it was told, for the message that it is over. */
  title?: string;
};
export type Episodes = Partial<Record<ConditionName, Episode>>;

export type Note = {
  is: "begun" | "worse" | "over";
  condition: Condition;
  since: number;
  at: number;
};

export const openOf = (episodes: Episodes): Set<ConditionName> =>
  new Set(CONDITIONS.filter((name) => episodes[name]?.since !== undefined));

/** One look at all conditions. `holdMs`: 0 tells at once. */
export function look(
  before: Episodes,
  conditions: Conditions,
  at: number,
  holdMs = HOLD_MS,
): { episodes: Episodes; notes: Note[] } {
  const notes: Note[] = [];
  const episodes: Episodes = {};
  for (const name of CONDITIONS) {
    const episode = before[name] ?? {};
    const condition = conditions[name];
    const next =
      condition === null
        ? episode
        : condition === undefined
          ? afterWell(name, episode, at, notes)
          : afterTrouble(episode, condition, at, holdMs, notes);
    if (Object.keys(next).length > 0) episodes[name] = next;
  }
  return { episodes, notes };
}

function afterTrouble(
  { wellSince: _, ...episode }: Episode,
  condition: Condition,
  at: number,
  holdMs: number,
  notes: Note[],
): Episode {
  const { since = at, isTold = false, toldLevel = 0 } = episode;
  const { level = 0 } = condition;
  // The clock may have been set back.
  const isRecent = episode.toldAt !== undefined && Math.abs(at - episode.toldAt) < HOUR_MS;
  const isNews = isTold ? level > toldLevel : at - since >= holdMs;
  // When it got better meanwhile, less is news.
  if (!isNews || isRecent)
    return { ...episode, since, ...(isTold && { toldLevel: Math.min(level, toldLevel) }) };
  notes.push({ is: isTold ? "worse" : "begun", condition, since, at });
  return { since, isTold: true, toldAt: at, toldLevel: level, title: condition.title };
}

function afterWell(name: ConditionName, episode: Episode, at: number, notes: Note[]): Episode {
  const { since, wellSince = at, isTold, toldAt, title = name } = episode;
  const last = toldAt === undefined || Math.abs(at - toldAt) >= HOUR_MS ? {} : { toldAt };
  if (since === undefined) return last;
  // What was not told and is gone was no trouble.
  if (!isTold) return last;
  if (at - wellSince < OVER_MS) return { ...episode, wellSince };
  const condition = { name, title, message: "It is over.", hint: "" };
  notes.push({ is: "over", condition, since, at: wellSince });
  return last;
}
