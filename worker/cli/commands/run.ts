// `kamado run KIND`: one job here and now, without a queue. What a developer of a handler uses all day.
import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { unlessAborted } from "../../async/abort.ts";
import { systemClock } from "../../async/clock.ts";
import { type AwsConfig, makeAwsClients } from "../../aws/clients.ts";
import { type Config, HANDLERS } from "../../config/config.ts";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { type ErrorCode, KamadoError, toKamadoError } from "../../errors.ts";
import { whoListens } from "../../http/who-listens.ts";
import { checkInput } from "../../job/check-values.ts";
import { Job } from "../../job/envelope.ts";
import type { Checkpoints, Handler } from "../../job/handler.ts";
import type { Outcome } from "../../job/outcome.ts";
import { handlerOf, loadRegistry, type Registry } from "../../job/registry.ts";
import { failed, Receipt, type Result } from "../../job/result.ts";
import { JobEvents, type Listener } from "../../logging/job-events.ts";
import { createLog, type Log } from "../../logging/log.ts";
import { EXIT, LiveBlock, paint } from "../../logging/terminal.ts";
import { EngineClient } from "../../model/engine-client.ts";
import { type Destinations, loadDestinations } from "../../outbound/destinations.ts";
import { createOutbound } from "../../outbound/outbound.ts";
import { printableJson } from "../../printable.ts";
import { executeHandler } from "../../runner/execute-handler.ts";
import { createHandlerServices } from "../../runner/handler-context.ts";
import { openSearch } from "../../search/search.ts";
import { createReadableObjects } from "../../storage/readable-objects.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { cloudHere, type Here } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { engineOptions } from "../engine-options.ts";
import { examples } from "../examples.ts";
import { type Flags, flagsOf, modelFlags, toVariables } from "../flags.ts";
import { asDataUri, inputHelp, readInput, replaceFiles } from "../read-input.ts";
import { engineErrorOf, findEngine, nameOfModel, tokenOf } from "../running-service.ts";

export function runCommand(): Command {
  return modelFlags(
    examples(new Command("run"), [
      `run prompt --input '{"prompt": "Say hello"}'`,
      "run image.check --input check.json",
      "run todo.match --input todos.json --model gemma-3-4b-it.gguf",
    ])
      .argument("<kind>", "the kind of job: todo.match, image.check, …")
      .description("run one job without a queue and print its result")
      .requiredOption("--input <json>", inputHelp("names a file"))
      .option("--json", "print only the whole result, as one JSON line")
      .action(async (kind: string, _, command: Command) => {
        const flags = flagsOf(command);
        const about = { id: randomUUID(), spent: Receipt.parse({}) };
        const result = await run(kind, flags, about).catch((thrown) =>
          afterError(kind, flags, thrown, about),
        );
        print(result, flags.json === true);
        // Said and done: whatever a library has left open must not keep the command.
        const code =
          result.status === "succeeded"
            ? EXIT.ok
            : result.status === "canceled"
              ? EXIT.interrupted
              : EXIT.failed;
        process.stdout.write("", () => process.exit(code));
      }),
  );
}

/** Nothing tries a job again here, and nothing is stored: what the codes usually advise does not fit. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  engine_unavailable: "Check that the engine runs and its model loads; --log-level info shows what it says.",
  engine_busy: "The engine's queue is full; run the job again in a moment.",
  engine_died: "The engine crashed during this job; --log-level info shows its last words.",
  fetch_failed: "Check that the address can be reached, then run the job again.",
  search_failed: "Check that the search service can be reached and has quota left, then run it again.",
  storage_unavailable:
    "Check the network, the credentials and the bucket; `npm start` serves a bucket of its own.",
  timed_out: "Raise KAMADO_TIMEOUT_SECONDS, or put less work into one job.",
  handler_broken: "Correct the handler's file and run the job again.",
  handler_failed: "Correct the handler, or what the message names; --log-level info shows more.",
  canceled: "Nothing was stored; run it again when you like.",
};

export const withHint = (error: KamadoError): KamadoError => {
  const { code, message, cause, detail } = error;
  const hint = HINTS[code];
  return hint === undefined ? error : new KamadoError(code, message, { cause, detail, hint });
};

function afterError(kind: string, flags: Flags, thrown: unknown, { id, spent }: About): never {
  const error = thrown instanceof KamadoError ? withHint(thrown) : thrown;
  // A script that asked for JSON gets it, whatever happened; the exit code and standard error say the rest.
  if (flags.json === true) print(failed(id, kind, toKamadoError(error, "handler_failed"), spent), true);
  throw error;
}

/** Of a run that may end without a result. */
type About = { id: string; spent: Receipt };

async function run(kind: string, flags: Flags, about: About): Promise<Result> {
  const { value, folder } = await readInput(String(flags.input));
  const job = Job.parse({ id: about.id, kind, input: await replaceFiles(value, folder, asDataUri) });
  const config = configOf({ KAMADO_ENGINE_PORT: "0", ...toVariables(flags) });
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
    const here = await cloudHere(config);
    return await runAlone(job, {
      config: await withEngineOf(here, flags, block),
      aws: here.cloud.aws,
      log,
      signal: interrupted.signal,
      watch,
      engineError: () => engineErrorOf(here),
      onRetry: (receipt) => {
        about.spent = receipt;
      },
    });
  } catch (thrown) {
    throw await sayingWhatListens(thrown, config.engine.url);
  } finally {
    block.draw([]);
  }
}

/** An engine that does not answer as one may be another program, which is what its user needs to know. */
async function sayingWhatListens(thrown: unknown, url: string | undefined): Promise<unknown> {
  if (url === undefined || !(thrown instanceof KamadoError) || thrown.code !== "engine_unavailable")
    return thrown;
  const { is, words } = await whoListens(new URL(url).origin);
  if (is === "nothing" || is === "engine") return thrown;
  const { message, cause, detail } = thrown;
  return new KamadoError(
    "engine_unavailable",
    `${message.replace(/\.$/, "")}. What answers at ${url}: ${words}.`,
    { cause, detail },
  );
}

/** These ask for an engine of the command's own. */
const OWN_ENGINE = ["model", "mmproj", "engineUrl", "slots", "memoryLimit"];
const NAMES_A_MODEL = ["KAMADO_MODEL", "KAMADO_BACKEND", "KAMADO_SCRIPT"];

export const asksForOwnEngine = (flags: Flags): boolean =>
  OWN_ENGINE.some((flag) => flags[flag] !== undefined);

/** An engine that runs here is used, unless the command asks for another or for another model. */
export async function withEngineOf({ config, found }: Here, flags: Flags, block: LiveBlock): Promise<Config> {
  if (config.engine.url !== undefined || asksForOwnEngine(flags)) return config;
  const engine = await findEngine(config, found);
  const isNamed = NAMES_A_MODEL.some((name) => config.set.includes(name));
  if (!engine || (isNamed && nameOfModel(config.engine.model) !== engine.model)) return config;
  if (flags.json !== true) block.log(paint("dim", `on the running engine, ${engine.url}`, process.stderr));
  const token = tokenOf(engine, config.engine.token);
  return { ...config, engine: { ...config.engine, url: engine.url, token, isDemo: engine.isDemo } };
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
export type SoloOptions = {
  config: Config;
  aws: AwsConfig;
  log: Log;
  signal: AbortSignal;
  watch: Listener;
  /** Why an engine that runs here is not ready, where that is known. */
  engineError?: () => ReturnType<typeof engineErrorOf>;
  /** Gets what a run cost that another try could mend. */
  onRetry?: (receipt: Receipt) => void;
  /** What an earlier run of the job has found out. [nothing is kept] */
  checkpoints?: Checkpoints;
  /** Besides those of the owner's file. */
  destinations?: Destinations;
};

/** Runs a job to its result, starting an engine for it when there is none. Throws what another try could mend. */
export async function runAlone(job: Job, options: SoloOptions): Promise<Result> {
  const { registry, handler } = await loadHandler(job.kind, options.config);
  // Before an engine is started, which may take long. The run itself reads the input again.
  const refused = inputError(handler, job);
  if (refused) return advised(failed(job.id, job.kind, refused, Receipt.parse({})));
  await using alone = await openAlone(registry, options);
  return await alone.run(job);
}

/** Throws `unknown_kind`, and why the kind's handler cannot be used. */
export async function loadHandler(
  kind: string,
  { ownHandlers }: Pick<Config, "ownHandlers">,
): Promise<{ registry: Registry; handler: Handler }> {
  // Handlers of other kinds do not matter here.
  const registry = await loadRegistry(HANDLERS, () => {}, ownHandlers);
  const handler = handlerOf(registry, kind);
  if (handler.broken) throw handler.broken;
  return { registry, handler };
}

/** An engine and all that jobs need, without a queue. */
export type Alone = AsyncDisposable & {
  /** How many answers the engine generates at once, where it says so. */
  slots(): Promise<number | undefined>;
  run(job: Job): Promise<Result>;
};

export async function openAlone(registry: Registry, options: SoloOptions): Promise<Alone> {
  const { config, aws, log, signal, watch } = options;
  await using stack = new AsyncDisposableStack();
  const clients = makeAwsClients(aws);
  stack.defer(() => clients.destroy());
  const destinations = [...loadDestinations(config.destinationsFile), ...(options.destinations ?? [])];
  const outbound = createOutbound({ destinations });
  stack.defer(() => outbound.close());
  sayThatItLoads(config);
  const engine = await openEngine(engineOptions(config), log);
  stack.defer(() => engine.stop());
  const client = new EngineClient({
    url: engine.url,
    token: config.engine.token?.reveal(),
    model: config.engine.remoteModel,
  });
  stack.defer(() => client.close());

  // Of one of our own its supervisor knows when it can serve, and when it never will; another has to be asked.
  const ready = config.engine.url === undefined ? engine.ready() : untilItAnswers(client, options);
  await unlessAborted<unknown>(ready, signal);
  const jobEvents = new JobEvents(log);
  jobEvents.subscribe(watch);
  const buckets = new Map(config.buckets.map((name) => [name, s3Bucket(clients.s3, name)]));
  const objects = createReadableObjects({ own: config.bucket, buckets, listed: config.inputPrefixes });
  const search = config.webSearch && openSearch(config.webSearch, { destinations, clock: systemClock });
  stack.defer(() => search?.close());
  const services = createHandlerServices({
    ...config,
    registry,
    objects,
    outbound,
    destinations,
    client,
    search,
    checkpoints: options.checkpoints && { of: () => options.checkpoints!, remove: async () => {} },
  });
  const open = stack.move();
  return {
    async slots() {
      const health = await client.health();
      return health.is === "ready" ? health.slots : undefined;
    },
    async run(job) {
      const now = systemClock.wall();
      const message = {
        id: job.id,
        queue: "",
        body: "",
        handle: "",
        sentAt: now,
        receiveCount: 1,
        group: null,
      };
      const arrival = { receivedWall: now, attempts: 1, maxAttempts: 1 };
      return resultOf(
        await executeHandler(job, { ...arrival, message, signal }, new AbortController().signal, {
          ...services,
          ...config,
          jobEvents,
          clock: systemClock,
        }),
        options,
      );
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

function inputError({ input }: Handler, job: Job): KamadoError | null {
  try {
    checkInput(input, job.input);
    return null;
  } catch (thrown) {
    return toKamadoError(thrown, "invalid_input");
  }
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
async function untilItAnswers(client: EngineClient, { signal, engineError }: SoloOptions): Promise<void> {
  const end = systemClock.now() + LOAD_MS;
  for (let misses = 0; !signal.aborted; await systemClock.sleep(ASK_EVERY_MS, signal)) {
    const health = await client.health();
    if (health.is === "ready") return;
    misses = health.is === "down" ? misses + 1 : 0;
    const reason = health.is === "down" ? health.reason : "it says that it is loading";
    if (misses < MISSES && systemClock.now() <= end) continue;
    const error = await engineError?.();
    if (error)
      throw new KamadoError("engine_unavailable", `The engine is not ready: ${error.message}`, error);
    throw new KamadoError("engine_unavailable", `The engine does not answer: ${reason}`);
  }
}

function resultOf(outcome: Outcome, { onRetry }: SoloOptions): Result {
  if ("result" in outcome) return advised(outcome.result);
  if (outcome.is === "rejected" && outcome.about) return advised(outcome.about.result);
  if (outcome.is === "retry") {
    if (outcome.about) onRetry?.(outcome.about.receipt);
    throw outcome.error;
  }
  throw new KamadoError("canceled", "The job was interrupted.");
}

function advised(result: Result): Result {
  const hint = HINTS[result.error?.code as ErrorCode];
  return result.error && hint !== undefined ? { ...result, error: { ...result.error, hint } } : result;
}
