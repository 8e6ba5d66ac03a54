// What is known about the worker at one moment: for its page, its health, its commands.

export type QueueState = { url: string; health: string /** What to do about it. */; hint?: string };

/** What the page shows; made anew for every request. */
export type State = {
  /** STARTING, READY, BUSY, DRAINING or UNHEALTHY. */
  status: "STARTING" | "READY" | "BUSY" | "DRAINING" | "UNHEALTHY";
  queue: QueueState;
  /** The outbox. Without it jobs go on, so it makes nobody unhealthy; null when there is none. */
  deliveries: QueueState | null;
  engine: { url: string; model: string; answers: boolean; isDemo: boolean };
  bucket: { name: string; answers: boolean };
  topic: string | null;
  running: number;
  waiting: number;
  /** In use now; fewer than all while errors rise. */
  slots: number;
  allSlots: number;
  /** Of this process: `handles` are its open sockets, timers and the like. */
  process: { residentBytes: number; handles: number };
  /** The latest first. */
  jobs: { id: string; kind: string; outcome: string; at: number; error?: string }[];
};
