// The demo's report: a table of the jobs with their results, and the last line with the counts.

import type { Report } from "../../worker/job/research/report.ts";
import type { Result } from "../../worker/job/result.ts";
import { type Column, type Styled, table } from "../../worker/logging/terminal.ts";
import type { Trace } from "./progress.ts";
import type { DemoJob } from "./scenario.ts";

export type Row = { job: DemoJob; result: Result | null; trace: Trace | undefined; arrived: boolean };
export type Tally = { jobs: number; right: number; delivered: number; lost: number };

const COLUMNS: readonly Column[] = [
  { title: "job" },
  { title: "asked", max: "rest" },
  { title: "got", max: 25 },
  { title: "prob", align: "right" },
  { title: "took", align: "right" },
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

function cells(row: Row): Styled[] {
  const { job, result, trace } = row;
  const got =
    result === null
      ? "nothing"
      : result.status === "succeeded"
        ? job.got(result.output)
        : (result.error?.code ?? result.status);
  const probability = (result?.output as { probability?: number } | undefined)?.probability;
  const receipt = result?.receipt;
  const deliveredMs = trace?.deliveredMs ?? null;
  return [
    job.id,
    job.asked,
    isRight(row)
      ? { text: `✔ ${got}`, style: "green" }
      : { text: `✖ ${got}, not ${job.expected}`, style: "red" },
    probability === undefined ? "" : probability.toFixed(2),
    deliveredMs === null ? "-" : `${(deliveredMs / 1_000).toFixed(1)} s`.padStart(6),
    receipt ? `${receipt.promptTokens}+${receipt.completionTokens}` : "-",
  ];
}

export const resultTable = (rows: readonly Row[]) => table(COLUMNS, rows.map(cells));

export const lastLine = ({ jobs, right, delivered, lost }: Tally) =>
  `demo: ${jobs} jobs, ${right} right, ${delivered} delivered, ${lost} lost`;

export const isPerfect = ({ jobs, right, delivered, lost }: Tally) =>
  right === jobs && delivered === jobs && lost === 0;

/** What a research found: its claims, the sentences of the pages that prove them, and the pages that could not be read. */
export function researchLines({ question, claims, contradictions, sources, failures }: Report): string[] {
  const titleOf = (number: number) => {
    const { title, site, url } = sources.find((source) => source.number === number)!;
    return site ?? title ?? url;
  };
  return [
    question,
    ...(claims.length > 0 ? [] : ["nothing was found"]),
    ...claims.flatMap(({ number, claim, sources: cited }) => {
      const against = contradictions.flatMap(([one, other]) => (other === number ? [one] : []));
      const but = against.length > 0 ? ` (contradicts ${against.join(", ")})` : "";
      return [
        `${number}. ${claim}${but}`,
        ...cited.map(({ source, quote }) => `   ${titleOf(source)}: "${quote}"`),
      ];
    }),
    ...failures.map(({ what, code }) => `not read: ${what} (${code})`),
  ];
}
