// What `bench utilisation` shows of its runs. Pure but for terminal colours.
import { type Column, table } from "../worker/logging/terminal.ts";
import type { Shape } from "./durations.ts";
import type { Busy } from "./slot-clock.ts";
import { median } from "./statistics.ts";
import { atLeast, atMost, digits, mark } from "./table.ts";
import { OURS } from "./utilisation-ways.ts";

export type Run = Busy & { who: string; shape: Shape; roundTripMs: number; callsPerJob: number };

export const TARGETS = { busy: atLeast(0.95), calls: atMost(0.4) };

/** Several runs of one way as one. */
export function medianRun(runs: readonly Run[]): Run {
  const of = (take: (run: Run) => number) => median(runs.map(take));
  return {
    ...runs[0]!,
    busyShare: of(({ busyShare }) => busyShare),
    callsPerJob: of(({ callsPerJob }) => callsPerJob),
    wallSeconds: of(({ wallSeconds }) => wallSeconds),
    mostAtOnce: Math.max(...runs.map(({ mostAtOnce }) => mostAtOnce)),
  };
}

export function runsTable(runs: readonly Run[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    right("round trip ms"),
    { title: "jobs" },
    { title: "who" },
    right("busy"),
    { title: "" },
    right("calls/job"),
    { title: "" },
    right("wall s"),
  ];
  const rows = runs.map(({ roundTripMs, shape, who, busyShare, callsPerJob, wallSeconds }) => [
    String(roundTripMs),
    shape,
    who,
    digits(busyShare, 3),
    who === OURS ? mark(busyShare, TARGETS.busy) : "",
    digits(callsPerJob, 2),
    who === OURS ? mark(callsPerJob, TARGETS.calls) : "",
    digits(wallSeconds, 1),
  ]);
  return table(columns, rows);
}
