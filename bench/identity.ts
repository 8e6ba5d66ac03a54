// `bench identity`: whether a batch says what each request says alone. Greedy answers of many mixed requests, all at once and
// one by one, on one engine each; where they differ, how close the model was to saying the other thing.
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, whole } from "./arguments.ts";
import { compare } from "./identity-compare.ts";
import { type Compared, NEAR, shareLine, widest } from "./identity-report.ts";
import { suitesOf } from "./identity-suites.ts";
import { factsLine, machine } from "./machine.ts";
import { digits, percent } from "./table.ts";

const COLUMNS: Column[] = [
  { title: "" },
  { title: "requests", align: "right" },
  { title: "the same", align: "right" },
  { title: "share", align: "right" },
  { title: "near ties", align: "right" },
  { title: "likelier by, at most", align: "right" },
  { title: "unexplained", align: "right" },
];

export const identity: Bench = {
  about: "whether a batch says token for token what each request says alone; texts and pictures mixed",
  options: {
    requests: { type: "string", default: "64" },
    concurrency: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
  },
  async run(values, session) {
    const [requests, concurrency] = [whole(values, "requests"), whole(values, "concurrency")];
    const threads = whole(values, "threads");
    const facts = machine();
    session.print(`${factsLine(facts, { threads, requests, "at once": concurrency })}\n`);
    const compared: Compared[] = [];
    for (const suite of await suitesOf(requests)) {
      compared.push(await compare(suite, { threads, slots: concurrency }, session));
      process.stderr.write(`compared ${suite.name}\n`);
    }
    session.print(`${table(COLUMNS, compared.map(row))}\n`);
    session.print(shareLine(compared));
    return { machine: facts, threads, concurrency, near: NEAR, compared };
  },
};

function row({ name, requests, same, differences }: Compared): string[] {
  const near = differences.filter(({ isNear }) => isNear);
  return [
    name,
    String(requests),
    String(same),
    percent(same / requests),
    String(near.length),
    digits(widest(near), 4),
    String(differences.length - near.length),
  ];
}
