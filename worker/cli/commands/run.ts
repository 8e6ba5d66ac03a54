// `kamado run KIND`: one job here and now, without a queue. What a developer of a handler uses all day.
import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { unlessAborted } from "../../async/abort.ts";
import { systemClock } from "../../async/clock.ts";
import { type AwsConfig, makeAwsClients } from "../../aws/clients.ts";
import { type Config, HANDLERS, loadConfig } from "../../config/config.ts";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { KamadoError } from "../../errors.ts";
import { Job } from "../../job/envelope.ts";
import type { Outcome } from "../../job/outcome.ts";
import { handlerOf, loadRegistry } from "../../job/registry.ts";
import type { Result } from "../../job/result.ts";
import { JobEvents, type Listener } from "../../logging/job-events.ts";
import { createLog, type Log } from "../../logging/log.ts";
import { EXIT, LiveBlock, paint } from "../../logging/terminal.ts";
import { EngineClient } from "../../model/engine-client.ts";
import { loadDestinations } from "../../outbound/destinations.ts";
import { createOutbound } from "../../outbound/outbound.ts";
import { printableJson } from "../../printable.ts";
import { executeHandler } from "../../runner/execute-handler.ts";
import { createHandlerServices } from "../../runner/handler-context.ts";
import { createReadableObjects } from "../../storage/readable-objects.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { cloudOrLocal } from "../cloud.ts";
import { engineOptions } from "../engine-options.ts";
import { type Flags, flagsOf, modelFlags, toVariables } from "../flags.ts";
import { asDataUri, readInput, replaceFiles } from "../read-input.ts";

export function runCommand(): Command {
  return modelFlags(new Command("run"))
    .argument("<kind>", "the kind of job: todo.match, image.check, …")
    .description("run one job without a queue and print its result")
    .requiredOption(
      "--input <file>",
      'the input: a JSON file, or - for standard input; "file:door.png" inside names a file',
    )
    .option("--json", "print only the whole result, as one JSON line")
    .action(async (kind: string, _, command: Command) => {
      const flags = flagsOf(command);
      const result = await run(kind, flags);
      print(result, flags.json === true);
      // Said and done: whatever a library has left open must not keep the command.
      const code = result.status === "succeeded" ? EXIT.ok : EXIT.failed;
      process.stdout.write("", () => process.exit(code));
    });
}

async function run(kind: string, flags: Flags): Promise<Result> {
  const { value, folder } = await readInput(String(flags.input));
  const job = Job.parse({ id: randomUUID(), kind, input: await replaceFiles(value, folder, asDataUri) });
  const config = loadConfig({ KAMADO_ENGINE_PORT: "0", ...toVariables(flags) });
  const level = flags.logLevel ? config.logLevel : "warn";
  const log = createLog({ level, pretty: true, destination: process.stderr });
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort(new KamadoError("canceled", "Interrupted.")));

  const block = new LiveBlock(process.stderr);
  block.draw(["loading the model …"]);
  const watch: Listener = (event) => {
    const done = event.stage === "progress" ? event.done : 0;
    block.draw([`${kind} … ${Math.round(done * 100)} %`]);
  };
  try {
    return await runAlone(job, {
      config,
      aws: cloudOrLocal(config).aws,
      log,
      signal: interrupted.signal,
      watch,
    });
  } finally {
    block.draw([]);
  }
}

function print(result: Result, json: boolean): void {
  if (json) return void process.stdout.write(`${printableJson(result)}\n`);
  process.stdout.write(`${printableJson(result.output ?? result.error, 2)}\n`);
  const { model, promptTokens, cachedTokens, completionTokens, inferenceMs } = result.receipt;
  const tokens = `${promptTokens} tokens in (${cachedTokens} cached), ${completionTokens} out`;
  const note = `${result.status} · ${model ?? "no model"} · ${tokens} · ${Math.round(inferenceMs)} ms`;
  process.stderr.write(`${paint("dim", note, process.stderr)}\n`);
}

// One job here and now, without a queue: the middle of a job's life with the same parts the worker uses.
export type SoloOptions = { config: Config; aws: AwsConfig; log: Log; signal: AbortSignal; watch: Listener };

/** Runs a job to its result, starting an engine for it when there is none. Throws what another try could mend. */
export async function runAlone(job: Job, { config, aws, log, signal, watch }: SoloOptions): Promise<Result> {
  await using stack = new AsyncDisposableStack();
  const registry = await loadRegistry(HANDLERS);
  handlerOf(registry, job.kind);
  const clients = makeAwsClients(aws);
  stack.defer(() => clients.destroy());
  const outbound = createOutbound({ destinations: loadDestinations(config.destinationsFile) });
  stack.defer(() => outbound.close());
  sayThatItLoads(config);
  const engine = await openEngine(engineOptions(config), log);
  stack.defer(() => engine.stop());
  const client = new EngineClient({ url: engine.url, token: config.engine.token?.reveal() });
  stack.defer(() => client.close());

  // Of one of our own its supervisor knows when it can serve, and when it never will; another has to be asked.
  const ready = config.engine.url === undefined ? engine.ready() : untilItAnswers(client, signal);
  await unlessAborted<unknown>(ready, signal);
  const jobEvents = new JobEvents(log);
  jobEvents.subscribe(watch);
  const buckets = new Map(config.buckets.map((name) => [name, s3Bucket(clients.s3, name)]));
  const objects = createReadableObjects({ own: config.bucket, buckets, listed: config.inputPrefixes });
  const services = createHandlerServices({ ...config, registry, objects, outbound, client });
  const now = systemClock.wall();
  const message = { id: job.id, queue: "", body: "", handle: "", sentAt: now, receiveCount: 1, group: null };
  const arrival = { receivedWall: now, attempts: 1, maxAttempts: 1 };
  return resultOf(
    await executeHandler(job, { ...arrival, message, signal }, new AbortController().signal, {
      ...services,
      ...config,
      jobEvents,
      clock: systemClock,
    }),
  );
}

/** A model of one's own takes seconds to load, and more the first time. */
function sayThatItLoads({ engine, slots }: Config): void {
  if (engine.url !== undefined || engine.isDemo || engine.backend === "scripted") return;
  const first =
    slots === undefined ? "; the first start with a model also measures this machine, about ten seconds" : "";
  process.stderr.write(`${paint("dim", `loading the model${first} …`, process.stderr)}\n`);
}

const ASK_EVERY_MS = 500;
/** So often in a row it does not answer at all until it counts as gone. */
const MISSES = 5;
/** As long as a model may take to load in an engine of our own. */
const LOAD_MS = 900_000;

/** Waits while somebody else's engine loads. Throws `engine_unavailable` when it is gone, or loads for ever. */
async function untilItAnswers(client: EngineClient, signal: AbortSignal): Promise<void> {
  const end = systemClock.now() + LOAD_MS;
  for (let misses = 0; !signal.aborted; await systemClock.sleep(ASK_EVERY_MS, signal)) {
    const health = await client.health();
    if (health.is === "ready") return;
    misses = health.is === "down" ? misses + 1 : 0;
    const reason = health.is === "down" ? health.reason : "it says that it is loading";
    if (misses === MISSES || systemClock.now() > end)
      throw new KamadoError("engine_unavailable", `The engine does not answer: ${reason}`);
  }
}

function resultOf(outcome: Outcome): Result {
  if ("result" in outcome) return outcome.result;
  if (outcome.is === "rejected" && outcome.about) return outcome.about.result;
  if (outcome.is === "retry") throw outcome.error;
  throw new KamadoError("canceled", "The job was interrupted.");
}
