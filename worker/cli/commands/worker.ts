// `kamado worker`: works on the queue that is configured. As many workers as you like may share one queue.
import { Command } from "commander";
import { createLog } from "../../logging/log.ts";
import { boundLogFile, logOutput } from "../../logging/log-file.ts";
import { cloudOf } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf, modelFlags, toVariables, WATCH } from "../flags.ts";

export function workerCommand(): Command {
  return examples(modelFlags(new Command("worker")), [
    "worker --model qwen3-vl-4b    # KAMADO_QUEUE_URL names the queue",
    "worker --engine-url http://127.0.0.1:8080",
    "worker --watch                # while you write handlers",
  ])
    .description("run the jobs of the queue that KAMADO_QUEUE_URL names")
    .option("--watch", WATCH)
    .action(async (_, command: Command) => {
      const flags = flagsOf(command);
      const config = configOf(toVariables(flags));
      const destination = logOutput(config.logFile, process.stdout);
      const log = createLog({ level: config.logLevel, pretty: process.stdout.isTTY, destination });
      boundLogFile(config.logFile, (error) =>
        log.warn({ stage: "start" }, `KAMADO_LOG_FILE: ${error.message}`),
      );
      const cloud = cloudOf(config);
      // Not when a shell completes a line, for which all commands are loaded.
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      await runUntilStopped(config, cloud, log, {
        onStarted({ engine, web }) {
          const slots = config.slots ?? "auto";
          const facts = { queue: cloud.queueUrl, engine: engine.url, web: web.url, slots };
          log.info({ stage: "start", ...facts }, "started");
        },
        onReady() {
          log.info({ stage: "start" }, "working");
        },
        watch: flags.watch === true,
      });
      log.info({ stage: "stop" }, "stopped");
    });
}
