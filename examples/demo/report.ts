// The demo's report: a table of the jobs with their results, and the last line with the counts.

import type { Result } from "../../worker/job/result.ts";
import { type Column, paint, table } from "../../worker/logging/terminal.ts";
import type { Trace } from "./progress.ts";
import type { DemoJob } from "./scenario.ts";

export type Row = { job: DemoJob; result: Result | null; trace: Trace | undefined; arrived: boolean };
export type Tally = { jobs: number; right: number; delivered: number; lost: number };

const COLUMNS: readonly Column[] = [
  { title: "job" },
  { title: "asked", max: 40 },
  { title: "expected", max: 24 },
  { title: "got", max: 24 },
  { title: "prob", align: "right" },
  { title: "queued", align: "right" },
  { title: "inference", align: "right" },
  { title: "delivered", align: "right" },
  { title: "tokens", align: "right" },
];

const isRight = ({ job, result }: Row) =>
  result?.status === "succeeded" && job.got(result.output) === job.expected;

export function tallyOf(rows: readonly Row[]): Tally {
  return {
    jobs: rows.length,
    right: rows.filter(isRight).length,
    delivered: rows.filter(({ arrived }) => arrived).length,
    lost: rows.filter(({ result }) => result === null).length,
  };
}

function cells(row: Row): string[] {
  const { job, result, trace } = row;
  const got =
    result === null
      ? "nothing"
      : result.status === "succeeded"
        ? job.got(result.output)
        : (result.error?.code ?? result.status);
  const probability = (result?.output as { probability?: number } | undefined)?.probability;
  const receipt = result?.receipt;
  const ms = (value: number | null | undefined) =>
    value === null || value === undefined ? "-" : `${Math.round(value)} ms`;
  return [
    job.id,
    job.asked,
    job.expected,
    paint(isRight(row) ? "green" : "red", got),
    probability === undefined ? "" : probability.toFixed(2),
    ms(receipt?.queuedMs),
    ms(receipt?.inferenceMs),
    ms(trace?.deliveredMs),
    receipt ? `${receipt.promptTokens}+${receipt.completionTokens}` : "-",
  ];
}

export const resultTable = (rows: readonly Row[]) => table(COLUMNS, rows.map(cells));

export const lastLine = ({ jobs, right, delivered, lost }: Tally) =>
  `demo: ${jobs} jobs, ${right} right, ${delivered} delivered, ${lost} lost`;

export const isPerfect = ({ jobs, right, delivered, lost }: Tally) =>
  right === jobs && delivered === jobs && lost === 0;
