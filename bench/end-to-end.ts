// `bench end-to-end`: what the worker costs. A backlog of jobs through queue, worker, engine and delivery, beside the bare
// engine asked the very same over HTTP, taking turns.
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, fileOf, oneOf, whole } from "./arguments.ts";
import { measureRuns, type Plan, type Run, type Who } from "./end-to-end-runs.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { FORMATS, smallModel } from "./random-model.ts";
import type { Print } from "./session.ts";
import { median } from "./statistics.ts";
import { atLeast, digits, mark } from "./table.ts";

const TARGET = atLeast(0.97);

export const endToEnd: Bench = {
  about: "a backlog through queue, worker and engine, beside the bare engine with the very same requests",
  options: {
    model: { type: "string" },
    format: { type: "string", default: "Q4_0" },
    jobs: { type: "string", default: "200" },
    slots: { type: "string", default: "8" },
    threads: { type: "string", default: "1" },
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "24" },
  },
  async run(values, session) {
    const numbers = {
      slots: whole(values, "slots"),
      threads: whole(values, "threads"),
      jobs: whole(values, "jobs"),
      rounds: whole(values, "rounds"),
      tokens: whole(values, "tokens"),
    };
    const model = fileOf(values, "model") ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const plan: Plan = { model, ...numbers };
    session.print(`${factsLine(machine(), { model: modelWords(modelFile(model)), ...numbers })}\n`);
    const runs = await measureRuns(plan, session);
    return { machine: machine(), ...plan, model: modelFile(model), ...report(runs, session.print) };
  },
};

function report(runs: readonly Run[], print: Print): object {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    { title: "run" },
    ...["wall s", "jobs/s", "engine CPU s/job", "worker CPU s/job"].map(right),
  ];
  const rows = runs.map(({ who, wallSeconds, engineCpu, workerCpu, jobs }) => [
    who,
    digits(wallSeconds, 2),
    digits(jobs / wallSeconds, 2),
    digits(engineCpu / jobs, 4),
    who === "worker" ? digits(workerCpu / jobs, 4) : "",
  ]);
  print(table(columns, rows));
  const ratio = throughputRatio(runs);
  print(
    `\njobs/s of the worker against the bare engine (medians): ${digits(ratio, 3)}  ${mark(ratio, TARGET)}`,
  );
  return { runs, ratio, target: TARGET.value };
}

/** Of the medians. */
export function throughputRatio(runs: readonly Pick<Run, "who" | "wallSeconds" | "jobs">[]): number {
  const rate = (wanted: Who) =>
    median(runs.filter(({ who }) => who === wanted).map(({ jobs, wallSeconds }) => jobs / wallSeconds));
  return rate("worker") / rate("bare");
}
