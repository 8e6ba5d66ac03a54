// What `bench soak` shows of its tenths, and whether the worker has grown. Pure but for terminal colours.
import { type Column, table } from "../worker/logging/terminal.ts";
import { atMost, digits, mark, megabytes, type Target } from "./table.ts";

export type SoakTenth = {
  jobs: number;
  residentBytes: number;
  handles: number;
  /** Undefined where the system does not show them. */
  descriptors: number | undefined;
  jobsPerSecond: number;
  workerCpuPerJob: number;
};
export type Verdict = { name: string; value: number; unit: string; target: Target };

const MEMORY = atMost(120);
/** What the collector leaves lying about from one look to the next. */
const GROWTH = atMost(8);
/** What is open differs by dozens from one moment to the next, connections that come and go; its highest does not. */
const OPEN = atMost(8);

export function verdictsOf(tenths: readonly SoakTenth[]): Verdict[] {
  const [first, last] = [tenths[0]!, tenths.at(-1)!];
  const bytes = (last.residentBytes - first.residentBytes) / 1e6;
  const peak = Math.max(...tenths.map((tenth) => tenth.residentBytes)) / 1e6;
  const open = (name: string, counts: readonly number[]) => {
    return { name: `${name} above the most of the first half`, value: added(counts), unit: "", target: OPEN };
  };
  const descriptors = tenths.flatMap(({ descriptors: count }) => count ?? []);
  return [
    { name: "most memory after a tenth", value: peak, unit: "MB", target: MEMORY },
    { name: "memory added after the first tenth", value: bytes, unit: "MB", target: GROWTH },
    open(
      "handles",
      tenths.map(({ handles }) => handles),
    ),
    ...(descriptors.length > 0 ? [open("file descriptors", descriptors)] : []),
  ];
}

/** By how much the highest of the second half stands above that of the first. */
function added(counts: readonly number[]): number {
  const half = Math.ceil(counts.length / 2);
  return Math.max(...counts.slice(half)) - Math.max(...counts.slice(0, half));
}

export const verdictLine = ({ name, value, unit, target }: Verdict) =>
  `${name}: ${digits(value, unit === "" ? 0 : 1)}${unit && ` ${unit}`}  ${mark(value, target)}`;

export function soakTable(tenths: readonly SoakTenth[]): string {
  const columns = [
    "jobs",
    "RSS MB",
    "since the first tenth",
    "handles",
    "descriptors",
    "jobs/s",
    "CPU ms/job",
  ];
  const first = tenths[0]!.residentBytes;
  const rows = tenths.map((tenth) => [
    String(tenth.jobs),
    megabytes(tenth.residentBytes),
    megabytes(tenth.residentBytes - first),
    String(tenth.handles),
    digits(tenth.descriptors, 0),
    digits(tenth.jobsPerSecond, 0),
    digits(tenth.workerCpuPerJob * 1_000, 1),
  ]);
  return table(
    columns.map((title): Column => ({ title, align: "right" })),
    rows,
  );
}
