// What is known about the worker at one moment: for its page, its health address and its commands.
import type { KamadoError } from "../errors.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { PowerState } from "../power/power.ts";
import { printable } from "../printable.ts";

export type QueueState = {
  url: string;
  health: string;
  /** What to do about it. */
  hint?: string;
};

export type DiskState = { folder: string; freeBytes: number; isFull: boolean; hint?: string };

/** What the page shows; made anew for every request. */
export type State = {
  status: "STARTING" | "READY" | "BUSY" | "PAUSED" | "DRAINING" | "UNHEALTHY";
  queue: QueueState;
  /** The outbox; null when there is none. Jobs go on without it, so its health does not count for `status`. */
  deliveries: QueueState | null;
  engine: {
    url: string;
    model: string;
    answers: boolean;
    isDemo: boolean;
    /** Why it does not answer. Absent while it only loads its model. */
    error?: { code: string; message: string; hint: string };
  };
  bucket: { name: string; answers: boolean; health: string; hint?: string };
  /** What is checked before the first job. Absent in states of older versions. */
  startCheck?: { passed: boolean; error?: { code: string; message: string; hint: string } };
  /** That of the data folder, where it could be asked. */
  disk?: DiskState;
  /** Why no job is pulled although everything answers. Jobs that run go on. `until`, `since`: epoch milliseconds. */
  paused?: { policy: string; reason: string; since: number; until?: number };
  /** The machine's figures and the policies that pause pulling. Looked up only when it is read. */
  power?: PowerState;
  topic: string | null;
  /** The service that jobs search the web with. Absent where none is set up. */
  search?: string;
  /** Jobs that have a slot. */
  running: number;
  /** Jobs whose result is stored and on its way to their destinations. They have no slot. */
  delivering: number;
  waiting: number;
  /** In use now; fewer than `allSlots` while errors rise. */
  slots: number;
  allSlots: number;
  /**
   * Whose jobs wait here and run, and what each has used since midnight. `name` is null for those that name nobody. Absent in states of older
   * versions.
   */
  tenants?: {
    name: string | null;
    waiting: number;
    running: number;
    today: { jobs: number; tokens: number; seconds: number };
    limits?: { jobs?: number | undefined; tokens?: number | undefined; seconds?: number | undefined };
  }[];
  /** Of this process: `handles` are its open sockets, timers and the like. */
  process: { residentBytes: number; handles: number };
  /** Received and not ended, the oldest first. */
  current: { id: string; kind: string; since: number }[];
  /** The latest first. */
  jobs: { id: string; kind: string; outcome: string; at: number; error?: string }[];
};

/** Of an engine, by its health check. */
export function shownEngine({ isHealthy, cause }: { isHealthy: boolean; cause: KamadoError | null }) {
  if (isHealthy || !cause || cause.detail?.isLoading) return { answers: isHealthy };
  const { code, message, hint } = cause;
  return { answers: isHealthy, error: { code, message, hint } };
}

/** Of the start check. */
export function shownCheck({ isHealthy, cause }: { isHealthy: boolean; cause: KamadoError | null }) {
  if (isHealthy || !cause) return { passed: isHealthy };
  const { code, message, hint } = cause;
  return { passed: isHealthy, error: { code, message, hint } };
}

/** The whole state, from what the worker's parts say of themselves. */
export function stateOf({
  isStopping,
  latest,
  ...now
}: Omit<State, "status" | "process" | "current" | "jobs"> & {
  isStopping: boolean;
  latest: LatestJobs;
}): State {
  return {
    status: statusOf(now, isStopping),
    ...now,
    // The engine itself says which model answered; the configuration only says which one was asked for.
    engine: { ...now.engine, model: latest.model ?? now.engine.model },
    process: {
      residentBytes: process.memoryUsage.rss(),
      handles: process.getActiveResourcesInfo().length,
    },
    current: latest.current,
    jobs: latest.jobs,
  };
}

function statusOf(
  {
    queue,
    bucket,
    startCheck,
    engine,
    paused,
    running,
  }: Pick<State, "queue" | "bucket" | "startCheck" | "engine" | "paused" | "running">,
  isStopping: boolean,
): State["status"] {
  if (isStopping) return "DRAINING";
  if (queue.health !== "ok" || !bucket.answers || startCheck?.error) return "UNHEALTHY";
  if (!engine.answers) return engine.error ? "UNHEALTHY" : "STARTING";
  if (paused) return "PAUSED";
  return running > 0 ? "BUSY" : "READY";
}

export type LatestJobs = Pick<State, "current" | "jobs"> & { model: string | null };

const SHOWN = 50;

/** The jobs that run and those that ended last. The object it returns is kept up to date. */
export function latestJobs(jobEvents: JobEvents): LatestJobs {
  const latest: LatestJobs = { current: [], jobs: [], model: null };
  jobEvents.subscribe((event) => {
    const { job: id, at } = event;
    const kind = printable(event.kind ?? "?");
    if (event.stage === "received") latest.current = [...latest.current, { id, kind, since: at }];
    if (event.stage !== "ended") return;
    // Of two messages of one job the later one ends first, because it finds the job running.
    const index = latest.current.findLastIndex((job) => job.id === id);
    latest.current = latest.current.toSpliced(index, index < 0 ? 0 : 1);
    const { outcome, error, receipt } = event;
    if (receipt?.model) latest.model = printable(receipt.model, { max: 200 });
    latest.jobs = [{ id, kind, outcome, at, ...(error && { error }) }, ...latest.jobs].slice(0, SHOWN);
  });
  return latest;
}
