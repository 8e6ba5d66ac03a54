// What crosses between the engine process and its supervisor. The options go in as one message over the IPC channel
// (options.ts); events and log lines come out on a pipe; GET /health says which state the engine is in.
import type { ErrorCode } from "../errors.ts";
import type { BackendInfo } from "./generation/backend.ts";

/** The file descriptor of the pipe: each line is one event as JSON, or one line of the log. */
export const PIPE = 4;

/** Exit codes of a run that could not begin. */
export const EXIT = { badOptions: 2, noMemory: 3 } as const;

export const STATES = ["STARTING", "READY", "BUSY", "SETUP_FAILED", "UNHEALTHY"] as const;
export type State = (typeof STATES)[number];
export type Health = {
  state: State;
  model: string | null;
  backend: string | null;
  /** Of the model: its file's name, how it is quantized, and where its chat template is from. */
  file: string | null;
  quantization: string | null;
  chatTemplate: string | null;
  /** Whether it reads pictures. */
  images: boolean | null;
  slots: { busy: number; total: number };
  slotsFrom: SlotsFrom | null;
  waiting: number;
  /** What the model and its slots are estimated to need, where that can be known, and what this process holds now. */
  memory: { estimatedBytes: number | null; residentBytes: number };
  reason?: string;
};

/** Why the engine has the slots that it has. The other fields are there when it was measured. */
export type SlotsFrom = {
  from: "setting" | "measurement" | "default";
  measuredAt?: string;
  /** False: other work disturbed the measurement. */
  steady?: boolean;
  /** How the tokens were drawn meanwhile. */
  sampling?: string;
  /** The figures, and of what: the bytes of the model's file, and the processor. */
  measured?: {
    readings: { width: number; tokensPerSecond: number }[];
    prefillTokensPerSecond: number | null;
    modelBytes: number;
    cpu: string;
  };
  /** What was measured since, while the engine was idle. */
  next?: { slots: number; measuredAt: string };
};

/** What an engine that can serve says about itself. */
export type Ready = BackendInfo & {
  memory: Health["memory"];
  slotsFrom?: SlotsFrom | undefined;
  /** The lines of a table, when the slots were chosen by a calibration. */
  calibration?: string[] | undefined;
};

export type EngineEvent =
  | { event: "listening"; url: string }
  | ({ event: "ready" } & Ready)
  /** Its options or its model are at fault. */
  | { event: "failed"; code: ErrorCode; reason: string; hint: string };

/** The last line before the process ends by itself: why it does. */
export type LastEvent = { event: "dying"; reason: string };
