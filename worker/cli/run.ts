// `kamado run KIND`: one job here and now, without a queue. What a developer of a handler uses all day.
import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config.ts";
import { KamadoError } from "../errors.ts";
import { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import type { Result } from "../job/result.ts";
import { createLog } from "../log.ts";
import { createSoloWorkshop } from "../main.ts";
import { openEngine } from "../open-engine.ts";
import { EngineGate } from "../run/engine-gate.ts";
import { perform } from "../run/perform.ts";
import { flagsOf, modelFlags, toVariables } from "./flags.ts";
import { asDataUri, readInput, replaceFiles } from "./read-input.ts";
import { EXIT, paint } from "./terminal.ts";

export function runCommand(): Command {
  return modelFlags(new Command("run"))
    .argument("<kind>", "the kind of job: todo.match, image.check, …")
    .description("run one job without a queue and print its result")
    .requiredOption(
      "--input <file>",
      'the input as JSON, - for standard input; "file:door.png" inside stands for a file',
    )
    .option("--json", "print the whole result on one line, nothing else")
    .action(async (kind: string, _, command: Command) => {
      const flags = flagsOf(command);
      const { value, folder } = await readInput(String(flags.input));
      const input = await replaceFiles(value, folder, asDataUri);
      const config = loadConfig({ KAMADO_ENGINE_PORT: "0", ...toVariables(flags) });
      const log = createLog({
        level: flags.logLevel ? config.logLevel : "warn",
        pretty: true,
        destination: process.stderr,
      });
      const job = Job.parse({ id: randomUUID(), kind, input });
      const result = await runOnce(job, config, log);
      print(result, flags.json === true);
      process.exitCode = result.status === "succeeded" ? EXIT.ok : EXIT.failed;
    });
}

async function runOnce(
  job: Job,
  config: ReturnType<typeof loadConfig>,
  log: ReturnType<typeof createLog>,
): Promise<Result> {
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort(new KamadoError("canceled", "Interrupted.")));
  const engine = await openEngine(config, log);
  try {
    await engine.ready();
    const solo = await createSoloWorkshop(config, engine.url, log);
    const gate = new EngineGate({
      probe: async () => (await solo.client.health()).is === "ready",
      clock: systemClock,
      log,
    });
    await gate.ready(AbortSignal.any([interrupted.signal, AbortSignal.timeout(120_000)]));
    const now = systemClock.wall();
    const message = { id: job.id, body: "", receipt: "", sentAt: now, receiveCount: 1, group: null };
    const outcome = await perform(
      job,
      { message, receivedWall: now, signal: interrupted.signal },
      new AbortController().signal,
      solo.workshop,
    );
    await solo.stop();
    return resultOf(outcome);
  } finally {
    await engine.stop();
  }
}

function resultOf(outcome: Outcome): Result {
  if (outcome.is === "succeeded" || outcome.is === "expired") return outcome.result;
  if (outcome.is === "rejected" && outcome.about) return outcome.about.result;
  if (outcome.is === "retry") throw outcome.error;
  throw new KamadoError("canceled", "The job was interrupted.");
}

function print(result: Result, json: boolean): void {
  if (json) return void process.stdout.write(`${JSON.stringify(result)}\n`);
  process.stdout.write(`${JSON.stringify(result.output ?? result.error, null, 2)}\n`);
  const { model, promptTokens, cachedTokens, completionTokens, inferenceMs } = result.receipt;
  const note = `${result.status} · ${model ?? "no model"} · ${promptTokens} tokens in (${cachedTokens} cached), ${completionTokens} out · ${Math.round(inferenceMs)} ms`;
  process.stderr.write(`${paint("dim", note, process.stderr)}\n`);
}
