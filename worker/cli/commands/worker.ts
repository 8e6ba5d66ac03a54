// `kamado worker`: pulls from the queue that is configured; as many as you like may share one.
import { Command } from "commander";
import { loadConfig } from "../../config/config.ts";
import { startWeb } from "../../console/server.ts";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { createLog } from "../../logging/log.ts";
import { createWorker } from "../../main.ts";
import { cloudOf } from "../cloud.ts";
import { flagsOf, modelFlags, toVariables } from "../flags.ts";
import { untilStopped } from "../until-stopped.ts";

export function workerCommand(): Command {
  return modelFlags(new Command("worker"))
    .description("run the jobs of the queue that KAMADO_QUEUE_URL names")
    .action(async (_, command: Command) => {
      const config = loadConfig(toVariables(flagsOf(command)));
      const log = createLog({ level: config.logLevel, pretty: process.stdout.isTTY });
      const cloud = cloudOf(config);
      const engine = await openEngine(config, log);
      const worker = await createWorker(config, cloud, engine, log);
      const web = await startWeb({ ...config.web, state: worker.state });
      const stopped = untilStopped(() => worker.cut());
      worker.start();
      log.info(
        {
          stage: "start",
          queue: cloud.queueUrl,
          engine: engine.url,
          web: web.url,
          slots: config.slots ?? "auto",
        },
        "working",
      );
      await stopped;
      log.info({ stage: "stop" }, "stopping: what runs is finished, what waits goes back");
      await worker.stop();
      await Promise.all([engine.stop(), web.stop()]);
      log.info({ stage: "stop" }, "stopped");
    });
}
