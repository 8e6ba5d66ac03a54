// `kamado jobs`: the jobs that run here and those that ended, as the worker and the bucket know them; with an id, everything about one.
import { Command } from "commander";
import { makeAwsClients } from "../../aws/clients.ts";
import { KamadoError } from "../../errors.ts";
import { JobId } from "../../job/envelope.ts";
import { resultKey } from "../../job/result.ts";
import { isHeld, readLock } from "../../job-lock/lock.ts";
import { silentLog } from "../../logging/log.ts";
import { EXIT, localTime, paint } from "../../logging/terminal.ts";
import { createDeliveryLog } from "../../outbox/delivery-log.ts";
import { printable, printableJson } from "../../printable.ts";
import type { Bucket } from "../../storage/bucket.ts";
import { createResults } from "../../storage/results.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { type Here, queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { type Flags, flagsOf, numberFrom } from "../flags.ts";
import { type ServiceState, stateOf } from "../running-service.ts";
import { type Ended, runningOf, viewEnded, viewRunning } from "./status-view.ts";

const SHOWN = 20;

export function jobsCommand(): Command {
  return examples(new Command("jobs"), [
    "jobs",
    "jobs --last 5",
    "jobs 01JABC",
    "jobs 01JABC --json | jq .output",
  ])
    .argument("[id]", "one job: its state, its result and its deliveries")
    .description("list the jobs that run here and those that ended last, or show one")
    .option("--last <n>", `how many that ended [${SHOWN}]`, numberFrom(1, 1_000, { whole: true }))
    .option("--json", "print one JSON line for each job")
    .action(async (id: string | undefined, _, command: Command) => {
      const here = await queuesHere(configOf());
      const clients = makeAwsClients(here.cloud.aws);
      try {
        const bucket = s3Bucket(clients.s3, here.config.bucket);
        process.exitCode = await (id === undefined
          ? list(here, bucket, flagsOf(command))
          : show(id, here, bucket, flagsOf(command)));
      } finally {
        clients.destroy();
      }
    });
}

const print = (text: string) => void process.stdout.write(`${text}\n`);

async function knownState(here: Here): Promise<ServiceState | null> {
  const state = await stateOf(here);
  return state === "silent" ? null : state;
}

async function list(here: Here, bucket: Bucket, { last, json }: Flags): Promise<number> {
  const state = await knownState(here);
  const running = runningOf(state);
  const ended = await endedOf(bucket, state, typeof last === "number" ? last : SHOWN);
  if (json === true) {
    for (const one of running) print(printableJson({ state: "running", ...one }));
    for (const one of ended) print(printableJson({ state: "ended", ...one }));
    return EXIT.ok;
  }
  const parts = [running.length > 0 && viewRunning(running), ended.length > 0 && viewEnded(ended)].filter(
    Boolean,
  );
  print(parts.length > 0 ? parts.join("\n\n") : "no job has come yet");
  return EXIT.ok;
}

/** The latest first. What the worker remembers is not read again; some of it, such as a job that comes back, has no result. */
async function endedOf(bucket: Bucket, state: ServiceState | null, most: number): Promise<Ended[]> {
  const known = new Map((state?.jobs ?? []).toReversed().map((job) => [job.id, job]));
  const stored = (await bucket.list("results/"))
    .map(({ key, modified }) => ({ id: /^results\/(.*)\.json$/.exec(key)?.[1] ?? "", modified }))
    .filter(({ id }) => id !== "" && !known.has(id));
  const results = createResults(bucket);
  const read = stored
    .toSorted((a, b) => b.modified - a.modified)
    .slice(0, most)
    .map(async ({ id, modified }): Promise<Ended[]> => {
      const result = await results.find(id);
      if (!result) return [];
      const { kind, status, error } = result;
      return [{ id, kind, outcome: status, at: modified, ...(error && { error: error.code }) }];
    });
  const all = [...known.values(), ...(await Promise.all(read)).flat()];
  return all.toSorted((a, b) => b.at - a.at).slice(0, most);
}

/** What the last attempt ended with is known to the worker that made it. */
const lastErrorOf = (id: string, state: ServiceState | null): string | undefined =>
  state?.jobs.find((job) => job.id === id && job.outcome === "retry")?.error;

async function show(id: string, here: Here, bucket: Bucket, { json }: Flags): Promise<number> {
  const parsed = JobId.safeParse(id);
  if (!parsed.success) throw new KamadoError("invalid_input", `id: ${parsed.error.issues[0]!.message}.`);
  const [result, lock, tries] = await Promise.all([
    createResults(bucket).find(id),
    readLock(bucket, id),
    createDeliveryLog({ bucket, log: silentLog }).all(id),
  ]);
  const state = await knownState(here);
  const running = runningOf(state).find((job) => job.id === id);
  const isHere = lock !== null && isHeld(lock.record, lock);
  const is = result
    ? result.status
    : isHere || running
      ? "running"
      : lock
        ? "waiting for another attempt"
        : "unknown";
  const lastError = result ? undefined : lastErrorOf(id, state);
  if (json === true) print(printableJson({ id, state: is, lastError, ...result, deliveries: tries }));
  else if (result) print(`${paint("bold", id)}  ${result.status}\n${printableJson(result, 2)}`);
  else
    print(
      `${paint("bold", id)}  ${is}${running ? ` for ${running.for}` : isHere ? ` on ${printable(lock.record.worker)}` : ""}${lastError === undefined ? "" : `; the last one ended with ${lastError}`}`,
    );
  if (json !== true)
    for (const { at, to, outcome, status, error } of tries)
      print(printable(`delivery  ${localTime(at)}  ${outcome} ${status ?? error ?? ""}  ${to}`));
  if (is !== "unknown") return EXIT.ok;
  const why = `no result at ${resultKey(id)}, and it does not run: it waits in the queue, or never came`;
  process.stderr.write(`kamado: ${why}; \`kamado dead show ${id}\` looks among the dead letters\n`);
  return EXIT.failed;
}
