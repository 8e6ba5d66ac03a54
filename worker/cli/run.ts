// `kamado run KIND`: one job here and now, without a queue. What a developer of a handler uses all day.
import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { loadConfig } from "../config.ts";
import { KamadoError } from "../errors.ts";
import { Job } from "../job/envelope.ts";
import type { Result } from "../job/result.ts";
import { createLog } from "../log.ts";
import type { Event } from "../run/journal.ts";
import { runAlone } from "../solo.ts";
import { cloudOrLocal } from "./cloud.ts";
import { type Flags, flagsOf, modelFlags, toVariables } from "./flags.ts";
import { asDataUri, readInput, replaceFiles } from "./read-input.ts";
import { EXIT, LiveBlock, paint } from "./terminal.ts";

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
  const watch = ({ done = 0 }: Event) => block.draw([`${kind} … ${Math.round(done * 100)} %`]);
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
  if (json) return void process.stdout.write(`${JSON.stringify(result)}\n`);
  process.stdout.write(`${JSON.stringify(result.output ?? result.error, null, 2)}\n`);
  const { model, promptTokens, cachedTokens, completionTokens, inferenceMs } = result.receipt;
  const tokens = `${promptTokens} tokens in (${cachedTokens} cached), ${completionTokens} out`;
  const note = `${result.status} · ${model ?? "no model"} · ${tokens} · ${Math.round(inferenceMs)} ms`;
  process.stderr.write(`${paint("dim", note, process.stderr)}\n`);
}
