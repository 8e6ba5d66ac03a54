// `kamado serve`: the queue, the worker, the engine and the page, all in one go.
import { join } from "node:path";
import { Command } from "commander";
import type { Cloud } from "../../aws/resources.ts";
import type { Config } from "../../config/config.ts";
import type { LocalAws } from "../../local/local-aws.ts";
import { createLog, type Log } from "../../logging/log.ts";
import { boundLogFile, logOutput } from "../../logging/log-file.ts";
import { paint } from "../../logging/terminal.ts";
import { cloudOf, localCloud } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf, modelFlags, toVariables, WATCH } from "../flags.ts";
import { showCalibration } from "../show-calibration.ts";

export function serveCommand(): Command {
  return examples(modelFlags(new Command("serve")), [
    "serve",
    "serve --model qwen3-vl-4b",
    "serve --model model.gguf --mmproj mmproj.gguf",
    "serve --engine-url http://127.0.0.1:8080",
  ])
    .description(
      "run everything on this machine: an embedded queue (unless KAMADO_QUEUE_URL is set), the worker, the engine and its web page",
    )
    .option("--in-memory", "do not store the embedded queue: everything in it is gone when this ends")
    .option("--json", "print the addresses as one JSON line")
    .option("--watch", WATCH)
    .action(async (_, command: Command) => {
      const flags = flagsOf(command);
      const config = configOf(toVariables(flags));
      await serve(
        config,
        createLog({
          level: config.logLevel,
          pretty: process.stderr.isTTY,
          destination: logOutput(config.logFile, process.stderr),
        }),
        {
          inMemory: flags.inMemory === true,
          json: flags.json === true,
          watch: flags.watch === true,
        },
      );
    });
}

async function serve(
  config: Config,
  log: Log,
  options: { inMemory: boolean; json: boolean; watch: boolean },
): Promise<void> {
  boundLogFile(config.logFile, (error) => log.warn({ stage: "start" }, `KAMADO_LOG_FILE: ${error.message}`));
  const local = config.queueUrl === undefined ? await startLocal(config, options.inMemory) : undefined;
  const cloud = local ? localCloud(local) : cloudOf(config);
  const { runUntilStopped } = await import("../run-until-stopped.ts");
  try {
    await runUntilStopped(config, cloud, log, {
      onStarted({ web }) {
        if (options.json) printJson(config, cloud, web.url);
        else starting(config, web.url);
      },
      onReady({ web }, info) {
        if (options.json) return;
        showCalibration(info);
        announce(config, cloud, local, web.url);
      },
      endPolls: local?.endPolls,
      isStored: local !== undefined && !options.inMemory,
      watch: options.watch,
    });
  } finally {
    await local?.stop();
  }
}

// It and the worker are loaded when they start: a shell that completes a line loads all commands.
async function startLocal(config: Config, inMemory: boolean): Promise<LocalAws> {
  const { startLocalAws } = await import("../../local/local-aws.ts");
  return startLocalAws({
    port: config.localPort,
    key: config.localKey?.reveal(),
    ...(!inMemory && { dataDir: join(config.dataDir, "aws") }),
  });
}

const factsOf = (config: Config, cloud: Cloud, web: string) => ({
  endpoint: cloud.aws.endpoint ?? "AWS",
  queue: cloud.queueUrl,
  bucket: config.bucket,
  topic: cloud.topicArn ?? "none",
  web,
  model: config.engine.url ?? config.engine.model,
});

/** Only where things are. Whether the engine is ready, the page's /health tells. */
const printJson = (config: Config, cloud: Cloud, web: string) =>
  void process.stdout.write(`${JSON.stringify(factsOf(config, cloud, web))}\n`);

/** Before the engine answers, nothing says that all is well. */
function starting({ engine }: Config, web: string): void {
  const what = engine.url === undefined ? "loading the model" : `waiting for the engine at ${engine.url}`;
  process.stdout.write(`${paint("dim", `Kamado is starting, ${what} … ${web} shows how it is.`)}\n`);
}

function announce(config: Config, cloud: Cloud, local: LocalAws | undefined, web: string): void {
  const facts = factsOf(config, cloud, web);
  const lines = Object.entries(facts).map(([name, value]) => `  ${paint("dim", name.padEnd(9))}${value}`);
  process.stdout.write(
    `\n${paint(["bold", "yellow"], "Kamado is running.")} Ctrl-C stops it in order.\n${lines.join("\n")}\n`,
  );
  if (config.engine.isDemo) {
    process.stdout.write(
      "\n  This is the toy model of the demo. For real work (docs/models.md):\n  ./kamado model pull qwen3-vl-4b\n",
    );
  }
  if (local) {
    process.stdout.write(
      `\n  Try, in a second terminal:\n  ./kamado enqueue prompt --wait --input '{"prompt": "Text: buy milk\\nTitle:"}'\n\n`,
    );
  }
}
