// How the engine is, as /health tells it.

export const STATES = ["STARTING", "READY", "BUSY", "SETUP_FAILED", "UNHEALTHY"] as const;
export type State = (typeof STATES)[number];
export type Health = {
  state: State;
  model: string | null;
  backend: string | null;
  slots: { busy: number; total: number };
  waiting: number;
  /** What the model and its slots were found to need, where that can be known, and what this process holds. */
  memory: { estimatedBytes: number | null; residentBytes: number };
  reason?: string;
};
