// `kamado research "question"`: from a question to a report, with the steps shown while they are done. Gives the job to the Kamado that runs
// here, or runs it alone; what it has found out is kept either way, so that the same command goes on after an interruption. The research
// itself is the kind knowledge.research.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { type AnyKinds, createClient } from "../../../client/client.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import type { Config } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { Job } from "../../job/envelope.ts";
import { jobHash } from "../../job/job-hash.ts";
import { createLog } from "../../logging/log.ts";
import { EXIT, LiveBlock, paint, prose } from "../../logging/terminal.ts";
import { isAtHome } from "../../outbound/addresses.ts";
import { type Destinations, entryFor } from "../../outbound/destinations.ts";
import { printable, printableJson } from "../../printable.ts";
import { checkpointFiles } from "../../storage/checkpoint-files.ts";
import { createResults } from "../../storage/results.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { cloudHere, type Here } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { type Flags, flagsOf, modelFlags, numberFrom, toVariables, webAddress } from "../flags.ts";
import { askService, engineErrorOf } from "../running-service.ts";
import { tellTrouble } from "./enqueue.ts";
import { asText, Steps } from "./research-view.ts";
import { asksForOwnEngine, runAlone, withEngineOf, withHint } from "./run.ts";

const KIND = "knowledge.research";

const EXAMPLES = [
  'research "How many people came to the town fair in 2026?"',
  'research "What changed?" --url https://example.org/rules',
  'research "Which heat pumps are quiet?" --pages 15 --out report.md',
];
const NOTES =
  "Needs a search service (KAMADO_SEARCH), unless --url names the pages. Interrupted, the same command goes on where it was. " +
  "Exit codes: 0 there is a report, 1 the job failed or no page could be read, 2 wrong usage, 3 something it needs is not available, 130 interrupted.";

export function researchCommand(): Command {
  return modelFlags(
    notes(examples(new Command("research"), EXAMPLES), NOTES)
      .argument("<question>", "what you want to know")
      .description("answer a question from the web or from given pages, with a quote for every claim")
      .option(
        "--url <url...>",
        "a page to read; nothing is searched then, unless --search is given",
        (text: string, before: string[] = []) => [...before, webAddress(text)],
      )
      .option("--search", "search the web besides the pages of --url")
      .option("--pages <n>", "how many pages to read at most [9]", numberFrom(1, 50, { whole: true }))
      .option("--language <language>", "the report's language; the question's by default")
      .option(
        "--max-tokens <n>",
        "about how many tokens of pages the model may read [60000]",
        numberFrom(1_000, 1e7, { whole: true }),
      )
      .option("--max-minutes <n>", "after so long the report is made of what is there", numberFrom(0.05, 650))
      .option("--out <file>", "write the report there: as Markdown, or as JSON if its name ends in .json")
      .option("--json", "print only the whole result, as one JSON line")
      .action(async (question: string, _, command: Command) => {
        const code = await research(question, flagsOf(command));
        // Said and done: whatever a library has left open must not keep the command.
        process.stdout.write("", () => process.exit(code));
      }),
  );
}

type Input = { question: string; urls: string[] } & Record<string, unknown>;
type Result = { status: string; output?: unknown; error?: unknown };
type Asked = { input: Input; flags: Flags; steps: Steps; interrupted: AbortSignal };

async function research(question: string, flags: Flags): Promise<number> {
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort(new KamadoError("canceled", "Interrupted.")));
  const steps = new Steps();
  const asked = { input: inputOf(question, flags), flags, steps, interrupted: interrupted.signal };
  const here = await cloudHere(configOf({ KAMADO_ENGINE_PORT: "0", ...toVariables(flags) }));
  const isAlone =
    here.found.is !== "running" ||
    asksForOwnEngine(flags) ||
    asked.input.urls.map((url) => new URL(url)).some(isOwn);
  try {
    const result = await (isAlone ? alone(asked, here) : throughService(asked, here));
    if (result.status === "succeeded") steps.end();
    // Before anything else is printed, which the next drawing would erase.
    steps.stop();
    return report(result, flags);
  } finally {
    steps.stop();
  }
}

function inputOf(question: string, { url, search, pages, language, maxTokens, maxMinutes }: Flags): Input {
  return {
    question,
    urls: Array.isArray(url) ? url : [],
    ...(search === true && { search }),
    ...(pages !== undefined && { maxPages: pages }),
    ...(language !== undefined && { language }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(maxMinutes !== undefined && { maxMinutes }),
  };
}

/** Whoever types such an address may read it; a job that comes from somewhere may not. */
const isOwn = (url: URL): boolean => url.protocol === "http:" || isAtHome(url);

const allowed = (urls: readonly string[]): Destinations =>
  [...new Set(urls.map((url) => new URL(url).origin))].map((origin) =>
    entryFor(origin, { allowPrivate: true }),
  );

// ── In this process ──

/** For a job without a limit of its own, at which a person waits. Seconds. */
const LONGEST = 3_600;

async function alone({ input, flags, steps, interrupted }: Asked, here: Here): Promise<Result> {
  const { config } = here;
  // With more time or another budget, it is the same research.
  const { question, urls } = input;
  if ((input.search === true || urls.length === 0) && config.webSearch === undefined)
    throw new KamadoError("search_not_set_up", "No search service is set up.", { hint: HOW_TO_SEARCH });
  const kept = checkpointFiles(join(config.dataDir, "research"), idOf({ question, urls }));
  const before = kept.count();
  if (before > 0)
    steps.note(`Going on where an earlier run of this question stopped: ${before} of its steps are kept.`);
  try {
    const result = await runAlone(Job.parse({ id: idOf(input), kind: KIND, input }), {
      config: {
        ...(await withEngineOf(here, flags, new LiveBlock(process.stderr))),
        ...timeFor(input, config),
      },
      aws: here.cloud.aws,
      log: createLog({
        level: flags.logLevel ? config.logLevel : "warn",
        pretty: true,
        destination: process.stderr,
      }),
      signal: interrupted,
      watch: (event) => {
        if (event.stage === "progress") steps.show(event.done, event.what ?? "Working");
      },
      engineError: () => engineErrorOf(here),
      checkpoints: kept,
      destinations: allowed(urls),
    });
    if (result.status === "canceled") throw stopped();
    if (result.status === "succeeded" && !isPartial(result)) kept.remove();
    return result;
  } catch (thrown) {
    if (!(thrown instanceof KamadoError)) throw thrown;
    throw thrown.code === "canceled" ? stopped() : withHint(thrown);
  }
}

const stopped = () =>
  new KamadoError("canceled", "Interrupted.", {
    hint: "What was found is kept: run the same command again, and it goes on where it was.",
  });
const HOW_TO_SEARCH =
  "Choose a service and set KAMADO_SEARCH (docs/research.md), or name the pages with --url.";
const isPartial = ({ output }: Result) => ((output as { partial?: unknown[] })?.partial ?? []).length > 0;
const idOf = (input: unknown) => `research-${jobHash({ kind: KIND, input }).slice(0, 24)}`;

function timeFor({ maxMinutes }: Input, { timeoutSeconds, budgets, set }: Config) {
  const own = set.includes("KAMADO_TIMEOUT_SECONDS") ? timeoutSeconds : LONGEST;
  const seconds = maxMinutes === undefined ? own : Math.max(own, Math.ceil(Number(maxMinutes) * 60) + 30);
  return { timeoutSeconds: seconds, budgets: { ...budgets, seconds } };
}

// ── In the Kamado that runs here ──

const DAY = 86_400;
const MOST_RUNS = 1_000;

async function throughService(asked: Asked, here: Here): Promise<Result> {
  const { input, steps, interrupted } = asked;
  const { config, cloud } = here;
  const clients = makeAwsClients(cloud.aws);
  try {
    const client = createClient<AnyKinds>({ ...clients, queueUrl: cloud.queueUrl, bucket: config.bucket });
    const results = createResults(s3Bucket(clients.s3, config.bucket));
    const id = await unfinished(idOf(input), async (one) => (await results.find(one)) !== null);
    const known = await progressOf(config, id);
    if (known?.isThere) steps.note(`This question is being worked on already, as ${id}; following it.`);
    else {
      const { maxMinutes } = input;
      const policy =
        maxMinutes === undefined ? {} : { timeoutSeconds: Math.ceil(Number(maxMinutes) * 60) + 30 };
      await client.enqueue(KIND, input, { id, policy });
      steps.note(`Given to the Kamado that runs here, as ${id}.`);
    }
    steps.isSampled = true;
    const trouble = tellTrouble(here);
    const onPoll = async () => {
      await trouble();
      const now = await progressOf(config, id);
      if (now?.what !== undefined) steps.show(now.done, now.what);
    };
    return await client.wait(id, { timeoutSeconds: DAY, signal: interrupted, onPoll }).catch((thrown) => {
      if (!interrupted.aborted) throw thrown;
      throw new KamadoError("canceled", `Interrupted; the job ${id} goes on.`, {
        hint: `Run the same command again to follow it; \`kamado cancel ${id}\` ends it.`,
      });
    });
  } finally {
    clients.destroy();
  }
}

/** A job that has a result is over: whoever asks again wants to know how it is now. */
async function unfinished(id: string, isOver: (id: string) => Promise<boolean>): Promise<string> {
  for (let run = 1; run <= MOST_RUNS; run += 1) {
    const own = run === 1 ? id : `${id}-${run}`;
    if (!(await isOver(own))) return own;
  }
  return id;
}

/** Null when nothing is known: the history may be off, or ask for a token. */
async function progressOf(config: Config, id: string) {
  const job = (await askService(config, `/jobs/${id}`).catch(() => null)) as {
    progress?: { done: number; what?: string } | null;
    endedAt?: unknown;
  } | null;
  // One that has ended, and whose result is gone from the bucket, would be followed for ever.
  return (
    job && {
      isThere: (job.endedAt ?? null) === null,
      done: job.progress?.done ?? 0,
      what: job.progress?.what,
    }
  );
}

// ── The report ──

function report(result: Result, { json, out }: Flags): number {
  const { status, output, error } = result;
  if (json === true && out === undefined) process.stdout.write(`${printableJson(result)}\n`);
  if (status !== "succeeded") {
    const {
      code = status,
      message = "The job has no report.",
      hint,
    } = (error ?? {}) as Record<string, string>;
    const words = `${paint("red", `kamado: ${code}`, process.stderr)}: ${printable(message)}`;
    process.stderr.write(
      `${prose(words, process.stderr)}\n${hint === undefined ? "" : `${prose(printable(hint), process.stderr)}\n`}`,
    );
    return EXIT.failed;
  }
  const { markdown, sources } = output as { markdown: string; sources: unknown[] };
  if (typeof out === "string") {
    writeFileSync(out, json === true || out.endsWith(".json") ? `${printableJson(output, 2)}\n` : markdown);
    process.stderr.write(`${paint("dim", `The report is in ${out}`, process.stderr)}\n`);
  } else if (json !== true)
    process.stdout.write(
      process.stdout.isTTY
        ? printable(prose(asText(markdown)), { lines: true, max: Number.POSITIVE_INFINITY })
        : markdown,
    );
  // A report of what failed is no report about the question.
  return sources.length === 0 ? EXIT.failed : EXIT.ok;
}
