// How far the jobs that run here are, as they last said. It listens from the worker's start, before anybody asks.
import { RecentMap } from "../async/recent-map.ts";
import type { JobEvents } from "../logging/job-events.ts";

export type JobProgress = Pick<RecentMap<string, { done: number; what?: string }>, "get">;

/** Of which the latest progress is known. */
const REMEMBERED = 1_000;

export function rememberProgress(jobEvents: JobEvents): JobProgress {
  const progress = new RecentMap<string, { done: number; what?: string }>(REMEMBERED);
  jobEvents.subscribe((event) => {
    if (event.stage === "progress")
      progress.set(event.job, { done: event.done, ...(event.what !== undefined && { what: event.what }) });
    if (event.stage === "ended" || event.stage === "started") progress.delete(event.job);
  });
  return progress;
}
