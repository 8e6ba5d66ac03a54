// `kamado map KIND FILES…`: one kind over many files, rows or lines. Which inputs these are is map/inputs.ts's, the file of results
// map/results-file.ts's; sending, waiting and the order are the client's. Where no Kamado runs, the jobs run here, as `kamado run` runs one.
import { Command, Option } from "commander";
import { type AnyKinds, createClient, type Mapped } from "../../../client/client.ts";
import { inOrder } from "../../../client/in-order.ts";
import { again, digestOfInput, type Inputs as MapInputs } from "../../../client/map.ts";
import { plural } from "../../amounts.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import { KamadoError, toKamadoError } from "../../errors.ts";
import { Job } from "../../job/envelope.ts";
import type { Handler } from "../../job/handler.ts";
import type { Registry } from "../../job/registry.ts";
import { createLog } from "../../logging/log.ts";
import { EXIT, LiveBlock } from "../../logging/terminal.ts";
import { printableJson } from "../../printable.ts";
import { cloudHere, type Here, queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { type Flags, flagsOf, modelFlags, numberFrom, toVariables } from "../flags.ts";
import { FORMATS, type Format, filesIn, Inputs, type Item } from "../map/inputs.ts";
import { type ResultLine, ResultsFile } from "../map/results-file.ts";
import { readPrices, Tally } from "../map/summary.ts";
import { asDataUri, inputHelp, readInput, replaceFiles } from "../read-input.ts";
import { engineErrorOf } from "../running-service.ts";
import { MapView, summaryWords } from "./map-view.ts";
import { asksForOwnEngine, loadHandler, openAlone, withEngineOf } from "./run.ts";

const MAX_CONCURRENCY = 1_000;
/** Seconds, as in the policy of a job. */
const MAX_TIMEOUT = 39_600;

const EXAMPLES = [
  `map prompt notes/*.txt --input '{"system": "Summarise it."}'`,
  "map text.summarize reports --out summaries.jsonl",
  "map text.summarize reports --out summaries.jsonl --resume",
  "map todo.match sentences.csv --out todos.jsonl",
];
const EXIT_CODES =
  "Exit codes: 0 all succeeded, 1 some failed, 2 wrong usage, 3 something it needs is not available, 130 interrupted.";

export function mapCommand(): Command {
  return notes(examples(modelFlags(new Command("map")), EXAMPLES), EXIT_CODES)
    .argument("<kind>", "the kind of job: prompt, image.check, …")
    .argument(
      "<files...>",
      "files, folders, patterns in quotation marks, CSV, JSON lines, or - for standard input",
    )
    .description(
      "run one kind over many files, rows or lines, several at the same time, with the results in order",
    )
    .option("--input <json>", inputHelp("is used for all"))
    .option(
      "--as <field>",
      "the field of the input that each file fills; found from the kind's schema where it is clear",
    )
    .addOption(
      new Option("--format <format>", "how the files are read; by their names where it is not given").choices(
        FORMATS,
      ),
    )
    .option(
      "--concurrency <n>",
      "how many jobs at the same time",
      numberFrom(1, MAX_CONCURRENCY, { whole: true }),
    )
    .option(
      "--out <file>",
      "write the results there, a line of JSON for each input; standard output otherwise",
    )
    .option(
      "--resume",
      "go on with the file of --out: what succeeded is kept, what failed or changed is done again",
    )
    .option(
      "--retries <n>",
      "how often something that may pass is tried again",
      numberFrom(0, 100, { whole: true }),
      2,
    )
    .option(
      "--id-prefix <text>",
      "the beginning of the jobs' ids; another one runs the same inputs again",
      "map",
    )
    .option("--tenant <name>", "whose jobs they are")
    .option("--priority <n>", "0 to 9, higher first", numberFrom(0, 9, { whole: true }))
    .option("--timeout <seconds>", "the longest run of each job", numberFrom(1, MAX_TIMEOUT))
    .option("--prices <file>", "also say what the same tokens would have cost at the prices in this file")
    .option("--quiet", "no progress and no summary")
    .option("--json", "the summary as one JSON line")
    .action(async (kind: string, files: string[], _, command: Command) => {
      const code = await map(kind, files, flagsOf(command));
      // Said and done: whatever a library has left open must not keep the command.
      process.stdout.write("", () => process.exit(code));
    });
}

async function map(kind: string, given: readonly string[], flags: Flags): Promise<number> {
  if (flags.resume === true && flags.out === undefined)
    throw new KamadoError("invalid_input", "--resume: there is nothing to go on with without --out.", {
      hint: "Give the file of results to --out.",
    });
  const prices = flags.prices === undefined ? undefined : readPrices(String(flags.prices));
  const config = configOf({ KAMADO_ENGINE_PORT: "0", ...toVariables(flags) });
  const known = await loadHandler(kind, config).catch((thrown) => unlessElsewhere(thrown, config.queueUrl));
  const inputs = new Inputs(await filesIn(given, { out: flags.out as string | undefined }), {
    ...{ kind, handler: known?.handler, common: await commonOf(flags) },
    digest: (input) => digestOfInput({ kind, model: undefined, input }),
    as: flags.as as string | undefined,
    format: flags.format as Format | undefined,
    maxBytes: config.budgets.inputBytes,
  });
  const out =
    flags.out === undefined
      ? undefined
      : await ResultsFile.open(String(flags.out), { resume: flags.resume === true });
  const view = new MapView(kind, flags);
  const began = performance.now();
  let firstJob = began;
  const tally = new Tally();
  const stop = interruptible(view);
  let isFinished = false;
  try {
    const counted = await inputs.count();
    view.counted(counted);
    const run = new MapRun(inputs, { out, tally, view });
    const onStarted = () => {
      firstJob = performance.now();
    };
    const where = { kind, flags, view, onStarted, signal: stop.signal };
    const results =
      known && (await isAlone(config, flags))
        ? alone(run.todo(), { ...where, ...known, config })
        : onQueue(run.todo(), { ...where, here: await queuesHere(config) });
    for await (const one of results) await run.settle(one);
    await run.end();
    isFinished = true;
  } finally {
    stop.end();
    view.end();
    if (!isFinished) await out?.close();
    if (!isFinished && out) view.unfinished(String(flags.out), tally.counts.succeeded + tally.counts.failed);
  }
  const summary = tally.summary(
    { wallMs: performance.now() - began, workMs: performance.now() - firstJob },
    prices,
  );
  if (flags.json === true) (out ? process.stdout : process.stderr).write(`${printableJson(summary)}\n`);
  else if (flags.quiet !== true) process.stderr.write(`${summaryWords(summary)}\n`);
  return summary.failed > 0 ? EXIT.failed : EXIT.ok;
}

/** The workers of a queue elsewhere may know kinds of which nobody has heard here. */
function unlessElsewhere(thrown: unknown, queueUrl: string | undefined): undefined {
  if (queueUrl !== undefined && thrown instanceof KamadoError && thrown.code === "unknown_kind")
    return undefined;
  throw thrown;
}

async function commonOf({ input }: Flags): Promise<Record<string, unknown>> {
  if (input === undefined) return {};
  const { value, folder } = await readInput(String(input));
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return (await replaceFiles(value, folder, async ({ name, bytes }) => new File([bytes], name))) as Record<
      string,
      unknown
    >;
  throw new KamadoError("invalid_input", "--input: expected an object: the fields that every input has.");
}

/** Ctrl-C stops in order, a second one at once. */
function interruptible(view: MapView): { signal: AbortSignal; end(): void } {
  const interrupted = new AbortController();
  const onSignal = () => {
    if (interrupted.signal.aborted) process.exit(EXIT.interrupted);
    view.stopping();
    interrupted.abort(
      new KamadoError("canceled", "Interrupted.", { hint: "Results that are there are kept." }),
    );
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const end = () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  return { signal: interrupted.signal, end };
}

type Parts = { out: ResultsFile | undefined; tally: Tally; view: MapView };
type Todo = { input: unknown; id: string | undefined; source: string };

/** The way from inputs to lines: what is done already is kept, what is wrong is said in its turn, the rest is to be done. */
class MapRun {
  readonly #inputs: Inputs;
  readonly #parts: Parts;
  /** By index: what is being done. */
  readonly #open = new Map<number, Item>();
  /** Inputs that are wrong, in order. */
  readonly #wrong: { index: number; item: Item }[] = [];

  constructor(inputs: Inputs, parts: Parts) {
    this.#inputs = inputs;
    this.#parts = parts;
  }

  /** `source` is the index here. */
  async *todo(): AsyncGenerator<Todo> {
    const { out, tally, view } = this.#parts;
    let index = -1;
    for await (const item of this.#inputs.items()) {
      index += 1;
      const before = out?.take(index, item.source, item.error ? undefined : item.hash);
      if (before === "changed") view.note(`${item.source} has changed since, and is done again`);
      if (before === "kept") {
        tally.keep();
        view.passed(true);
      } else if (item.error) {
        this.#wrong.push({ index, item });
        view.passed(false);
      } else {
        this.#open.set(index, item);
        yield { input: item.input, id: item.id, source: String(index) };
      }
    }
  }

  async settle({ source: at, id, result, error, reused = false }: Mapped): Promise<void> {
    const index = Number(at);
    const item = this.#open.get(index)!;
    this.#open.delete(index);
    await this.#sayWrong(index);
    const { source, hash: inputHash } = item as Item & { hash: string };
    const inFile = { index, source, id };
    if (error) await this.#write({ ...inFile, status: "failed", error: shown(error), inputHash });
    else {
      const { status, receipt } = result;
      const end = status === "succeeded" ? { output: result.output } : { error: result.error };
      await this.#write({
        ...inFile,
        status,
        ...end,
        receipt,
        ...(reused && { reused }),
        inputHash,
      } as ResultLine);
    }
  }

  async end(): Promise<void> {
    await this.#sayWrong(Number.POSITIVE_INFINITY);
    const left = (await this.#parts.out?.finish()) ?? 0;
    if (left > 0)
      this.#parts.view.note(
        `${plural(left, "result")} of inputs that were not given this time stand at the end of the file`,
      );
  }

  /** Those before this index. */
  async #sayWrong(index: number): Promise<void> {
    while (this.#wrong[0] && this.#wrong[0].index < index) {
      const { index: at, item } = this.#wrong.shift()!;
      const { source, error } = item as { source: string; error: KamadoError };
      await this.#write({
        index: at,
        source,
        id: undefined,
        status: "failed",
        error: shown(error),
        inputHash: undefined,
      });
    }
  }

  async #write(line: ResultLine): Promise<void> {
    const { out, tally } = this.#parts;
    if (out) await out.write(line);
    else await print(`${printableJson(line)}\n`);
    tally.add({
      status: line.status,
      code: line.error?.code,
      reused: line.reused === true,
      receipt: line.receipt,
    });
  }
}

const shown = ({ code, message, hint }: KamadoError) => ({ code, message, hint });

const print = (text: string) => new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));

/** Whether the jobs run here: no Kamado runs on this machine, or an engine of the command's own is asked for. */
async function isAlone(config: Here["config"], flags: Flags): Promise<boolean> {
  if (asksForOwnEngine(flags)) return true;
  try {
    await queuesHere(config);
    return false;
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "queue_unavailable") return true;
    throw thrown;
  }
}

type Where = {
  kind: string;
  flags: Flags;
  view: MapView;
  /** Called when nothing has to be loaded any more. */
  onStarted: () => void;
  signal: AbortSignal;
};

async function* onQueue(
  inputs: MapInputs<unknown>,
  { kind, flags, view, onStarted, signal, here: { config, cloud, found } }: Where & { here: Here },
): AsyncGenerator<Mapped> {
  view.where(
    found.is === "running"
      ? `on the Kamado that runs here, ${found.service.web.url}`
      : `on ${cloud.queueUrl}`,
  );
  const clients = makeAwsClients(cloud.aws);
  const {
    tenant,
    priority,
    timeout: timeoutSeconds,
  } = flags as { tenant?: string; priority?: number; timeout?: number };
  onStarted();
  try {
    const client = createClient<AnyKinds>({ ...clients, queueUrl: cloud.queueUrl, bucket: config.bucket });
    yield* client.map(kind, inputs, {
      ...{ concurrency: flags.concurrency as number | undefined, retries: Number(flags.retries) },
      ...{ idPrefix: String(flags.idPrefix), policy: { tenant, priority, timeoutSeconds } },
      ...{ signal, cancelOnEnd: true, onProgress: ({ done, failed }) => view.progress(done, failed) },
    });
  } finally {
    clients.destroy();
  }
}

type AloneOptions = Where & { handler: Handler; registry: Registry; config: Here["config"] };

/** One engine for all of them. */
async function* alone(inputs: AsyncGenerator<Todo>, options: AloneOptions): AsyncGenerator<Mapped> {
  const { kind, flags, view, onStarted, signal, registry, config } = options;
  const first = await inputs.next();
  // All is done already: no model has to be loaded for that.
  if (first.done) return;
  const here = await cloudHere(config);
  const block = new LiveBlock(process.stderr);
  view.where("no Kamado runs here: the jobs run alone, without a queue");
  const level = flags.logLevel ? config.logLevel : "warn";
  await using solo = await openAlone(registry, {
    ...{ config: await withEngineOf(here, flags, block), aws: here.cloud.aws, signal, watch: () => {} },
    log: createLog({ level, pretty: true, destination: process.stderr }),
    engineError: () => engineErrorOf(here),
  });
  // One more than the engine answers at once prepares its prompt meanwhile.
  const concurrency = Number(flags.concurrency ?? ((await solo.slots()) ?? 1) + 1);
  const ended = { done: 0, failed: 0 };
  onStarted();
  const work = async ({ input, id: own, source }: Todo, index: number): Promise<Mapped> => {
    const hash = await digestOfInput({ kind, model: undefined, input });
    const id = own ?? `${flags.idPrefix}-${hash}`;
    const timeoutSeconds = flags.timeout as number | undefined;
    const end = await tried(
      async () =>
        solo.run(
          Job.parse({
            id,
            kind,
            input: await withDataUris(input),
            policy: timeoutSeconds ? { timeoutSeconds } : {},
          }),
        ),
      Number(flags.retries),
      signal,
    );
    ended.done += 1;
    if (end.result?.status !== "succeeded") ended.failed += 1;
    view.progress(ended.done, ended.failed);
    return { index, source, id, ...end } as Mapped;
  };
  const all = (async function* () {
    yield first.value;
    yield* inputs;
  })();
  yield* inOrder(all, work, { concurrency, ahead: Math.max(64, 4 * concurrency), signal });
}

type Tried<T> = { result: T; reused: false } | { error: KamadoError; result?: never };

async function tried<T>(work: () => Promise<T>, retries: number, signal: AbortSignal): Promise<Tried<T>> {
  const coded = () =>
    work().catch((thrown) => {
      throw toKamadoError(thrown, "handler_failed");
    });
  try {
    return { result: await again(retries, signal, coded), reused: false };
  } catch (thrown) {
    return { error: toKamadoError(thrown, "handler_failed") };
  }
}

async function withDataUris(value: unknown): Promise<unknown> {
  if (value instanceof File)
    return asDataUri({ name: value.name, bytes: new Uint8Array(await value.arrayBuffer()) });
  if (Array.isArray(value)) return Promise.all(value.map(withDataUris));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(async ([name, one]) => [name, await withDataUris(one)] as const);
  return Object.fromEntries(await Promise.all(entries));
}
