// What `serve` and `worker` share: an engine, a worker and its page run until a signal comes, and stop in order.
import type { Cloud } from "../aws/resources.ts";
import type { Config } from "../config/config.ts";
import { startWeb } from "../console/server.ts";
import { type OpenEngine, openEngine } from "../engine/supervisor/open-engine.ts";
import type { Log } from "../logging/log.ts";
import { openWorker } from "../main.ts";
import { engineOptions } from "./engine-options.ts";
import { untilStopped } from "./until-stopped.ts";

/**
 * Resolves when all of it has stopped. `onStarted` is called once, when the worker pulls. Rejects, after an orderly stop, when the
 * engine is given up: without it no job can ever run.
 */
export async function runUntilStopped(
  config: Config,
  cloud: Cloud,
  log: Log,
  onStarted: (started: { engine: OpenEngine; web: { url: string } }) => void,
): Promise<void> {
  const engine = await openEngine(engineOptions(config), log);
  const worker = await openWorker(config, cloud, engine, log);
  const web = await startWeb({ ...config.web, state: worker.state });
  const stopped = untilStopped(() => worker.cut());
  worker.start();
  onStarted({ engine, web });
  const failure = await Promise.race([stopped.then(() => undefined), failureOf(engine)]);
  log.info({ stage: "stop" }, "stopping: running jobs are finished, waiting messages go back to the queue");
  await worker.stop();
  await Promise.all([engine.stop(), web.stop()]);
  if (failure !== undefined) throw failure;
}

/** Why the engine was given up before it was ever ready; nothing comes of it otherwise. */
function failureOf({ ready }: OpenEngine): Promise<unknown> {
  return new Promise((resolve) => void ready().catch(resolve));
}
