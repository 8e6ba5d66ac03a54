// What `bench memory` shows of its tenths, and by how much the engine has grown. Pure but for terminal colours.
import { type Column, table } from "../worker/logging/terminal.ts";
import { atMost, digits, megabytes } from "./table.ts";

export type Tenth = {
  requests: number;
  /** Of the engine's process and those it has started. */
  residentBytes: number;
  requestsPerSecond: number;
  failures: number;
  uneven: number;
};

/** Of what was resident. Caches fill and code is compiled in the first fifth; the kernel's count moves by a percent or two. */
export const TARGET = atMost(0.05);

/** From the end of the first fifth to the end; the share is NaN where a request failed, which then may have left nothing. */
export function growthOf(tenths: readonly Pick<Tenth, "residentBytes" | "failures">[]): {
  bytes: number;
  share: number;
} {
  const from = tenths[1]!.residentBytes;
  const bytes = tenths.at(-1)!.residentBytes - from;
  const isWhole = tenths.every(({ failures }) => failures === 0);
  return { bytes, share: isWhole ? bytes / from : Number.NaN };
}

export function memoryTable(tenths: readonly Tenth[]): string {
  const columns = ["requests", "RSS MB", "since the first tenth", "requests/s", "failed"];
  const first = tenths[0]!.residentBytes;
  const rows = tenths.map(({ requests, residentBytes: bytes, requestsPerSecond, failures }) => [
    String(requests),
    megabytes(bytes),
    megabytes(bytes - first),
    digits(requestsPerSecond, 0),
    String(failures),
  ]);
  return table(
    columns.map((title): Column => ({ title, align: "right" })),
    rows,
  );
}
