// `kamado worker`: works on the queue that is configured. As many workers as you like may share one queue.
import { Command } from "commander";
import { createLog } from "../../logging/log.ts";
import { cloudOf } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { flagsOf, modelFlags, toVariables } from "../flags.ts";
import { runUntilStopped } from "../run-until-stopped.ts";

export function workerCommand(): Command {
  return modelFlags(new Command("worker"))
    .description("run the jobs of the queue that KAMADO_QUEUE_URL names")
    .action(async (_, command: Command) => {
      const config = configOf(toVariables(flagsOf(command)));
      const log = createLog({ level: config.logLevel, pretty: process.stdout.isTTY });
      const cloud = cloudOf(config);
      await runUntilStopped(config, cloud, log, ({ engine, web }) => {
        const slots = config.slots ?? "auto";
        const facts = { queue: cloud.queueUrl, engine: engine.url, web: web.url, slots };
        log.info({ stage: "start", ...facts }, "working");
      });
      log.info({ stage: "stop" }, "stopped");
    });
}
