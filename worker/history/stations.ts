// Owns the waterfall of a job: its time cut into stations, from the moments that the history kept. Pure.
import type { JobRow, Station } from "./job-row.ts";

/** When an entry of a job came, in order. */
export type Mark = { is: string; at: number; attempt: number | null };

type Times = Pick<JobRow, "sentAt" | "receivedAt" | "startedAt"> & { runMs: number | null };

export function stationsOf(
  { sentAt, receivedAt, startedAt, runMs }: Times,
  marks: readonly Mark[],
): Station[] {
  const stations: Station[] = [];
  const add = (name: string, at: number | null, until: number | null, attempt?: number) => {
    if (at !== null && until !== null && until >= at)
      stations.push({ name, at, tookMs: until - at, ...(attempt !== undefined && { attempt }) });
  };
  // Of the last run its receipt says how long it took; what follows until its result is stored is storing.
  const ranUntil = runMs === null || startedAt === null ? null : startedAt + Math.round(runMs);
  add("queue", sentAt, receivedAt);
  let since = receivedAt;
  let attempt: number | undefined;
  let open: "run" | "deliver" | null = null;
  for (const { is, at, attempt: number } of marks) {
    if (is === "started") {
      add("wait", since, at);
      [open, since, attempt] = ["run", at, number ?? undefined];
    } else if (is === "inputs" && open === "run") {
      add("inputs", since, Math.max(since ?? at, at), attempt);
      since = at;
    } else if (is === "stored") {
      const ran =
        open === "run" && ranUntil !== null && ranUntil >= (since ?? at) && ranUntil < at ? ranUntil : at;
      if (open === "run") add("run", since, ran, attempt);
      if (open !== "run" || ran < at) add("store", open === "run" ? ran : since, at);
      [open, since] = ["deliver", at];
    } else if (is === "ended") {
      if (open) add(open, since, at, open === "run" ? attempt : undefined);
      [open, since] = [null, at];
    } else if (is === "received" && open === null) since = at;
  }
  return stations;
}
