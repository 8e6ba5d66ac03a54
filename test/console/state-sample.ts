// The state of a worker that is well.
import type { State } from "../../worker/console/state.ts";

export const STATE: State = {
  status: "READY",
  queue: { url: "https://sqs.us-east-1.amazonaws.com/123456789012/kamado-jobs", health: "ok" },
  deliveries: null,
  engine: { url: "http://127.0.0.1:4781", model: "m", answers: true, isDemo: false },
  bucket: { name: "kamado", answers: true, health: "ok" },
  topic: null,
  running: 0,
  delivering: 0,
  waiting: 0,
  slots: 8,
  allSlots: 8,
  process: { residentBytes: 0, handles: 0 },
  current: [],
  jobs: [],
};
