// `bench pictures`: what is saved on llama.node by keeping beginnings and pictures, against keeping nothing, in one run.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { KamadoError } from "../worker/errors.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import type { Bench } from "./arguments.ts";
import type { Cost, Growth, Measured } from "./pictures-process.ts";
import type { Session } from "./session.ts";
import { digits, megabytes, percent } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const COLUMNS: Column[] = [
  { title: "" },
  { title: "CPU s a job", align: "right" },
  { title: "kept", align: "right" },
  { title: "ratio", align: "right" },
  { title: "cached", align: "right" },
  { title: "kept", align: "right" },
  { title: "looked at", align: "right" },
  { title: "kept", align: "right" },
  { title: "answers" },
];

export const pictures: Bench = {
  about: "beginnings and pictures kept on llama.node, against nothing kept; and whether its memory grows",
  options: {},
  async run(_, session) {
    const { print } = session;
    const { measured, growth } = await measure(session);
    print(table(COLUMNS, measured.map(row)));
    print(`resident MB after each hundred of short requests: ${growth.map(megabytes).join(" ")}`);
    return { measured, growth };
  },
};

function row({ name, jobs, without, kept, same }: Measured): string[] {
  const both = (figure: (cost: Cost) => string) => [figure(without), figure(kept)];
  return [
    name,
    ...both(({ cpuSeconds }) => digits(cpuSeconds / jobs, 3)),
    digits(kept.cpuSeconds / without.cpuSeconds, 2),
    ...both(({ cachedShare }) => percent(cachedShare)),
    ...both(({ encoded }) => String(encoded)),
    same ? "the same" : "DIFFERENT",
  ];
}

async function measure(session: Session): Promise<{ measured: Measured[] } & Growth> {
  await using stack = new AsyncDisposableStack();
  const folder = temporaryFolder(stack);
  const file = fileURLToPath(new URL("pictures-process.ts", import.meta.url));
  const child = fork(file, [folder], { stdio: ["ignore", "ignore", "ignore", "ipc"], detached: true });
  const gone = once(child, "exit") as Promise<[number | null, string | null]>;
  stack.defer(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  const measured: Measured[] = [];
  let growth: number[] = [];
  child.on("message", (one: Measured | Growth) => {
    if ("growth" in one) growth = one.growth;
    else measured.push(one);
    process.stderr.write("growth" in one ? "memory: measured\n" : `${one.name}: measured\n`);
  });
  const [code, signal] = await session.during(gone);
  if (code === 0) return { measured, growth };
  throw new KamadoError(
    "engine_unavailable",
    `The process with llama.node ended (${signal ?? `exit code ${code}`}).`,
  );
}
