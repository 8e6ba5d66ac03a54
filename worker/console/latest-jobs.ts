// What the page shows of the jobs: the last that ended, and the worker's state in one word.
import type { Event, JobEvents } from "../logging/job-events.ts";
import type { State } from "./state.ts";

const SHOWN = 50;

export function statusOf(now: {
  stopping: boolean;
  engine: boolean;
  queue: string;
  bucket: boolean;
  running: number;
}): State["status"] {
  if (now.stopping) return "DRAINING";
  if (now.queue !== "ok" || !now.bucket) return "UNHEALTHY";
  if (!now.engine) return "STARTING";
  return now.running > 0 ? "BUSY" : "READY";
}

export type LatestJobs = { jobs: State["jobs"]; model: string | null };

/** Follows the job events; the object it returns is kept up to date. */
export function watchLatestJobs(jobEvents: JobEvents): LatestJobs {
  const latest: LatestJobs = { jobs: [], model: null };
  jobEvents.watch((event: Event) => {
    if (event.stage !== "ended") return;
    const { job, kind = "?", outcome = "?", at } = event;
    const { error, receipt } = event as { error?: string; receipt?: { model: string | null } };
    latest.model = receipt?.model ?? latest.model;
    latest.jobs = [{ id: job, kind, outcome, at, ...(error && { error }) }, ...latest.jobs].slice(0, SHOWN);
  });
  return latest;
}
