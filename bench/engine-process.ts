// Our engine as a process of its own, started as the worker starts it. The other files take its options' type from here.
import type { GivenOptions } from "../worker/engine/options.ts";
import { EngineProcess } from "../worker/engine/supervisor/process.ts";
import { KamadoError } from "../worker/errors.ts";
import type { Session } from "./session.ts";

export type { GivenOptions };

/** A server that is measured. */
export type ServerProcess = { url: string; pid: number; stop(): Promise<void> };

const STOP_MS = 15_000;

/** Resolves when it can serve. Without the supervisor, because an engine that ends must end the measurement. */
export async function startOurEngine(flags: GivenOptions, session: Session): Promise<ServerProcess> {
  const { promise, resolve, reject } = Promise.withResolvers<ServerProcess>();
  let url = "";
  let [isReady, isStopping] = [false, false];
  const child = new EngineProcess(
    { port: 0, logLevel: "error", ...flags },
    {
      onLog: () => {},
      onEvent: (event) => {
        if (event.event === "listening") url = event.url;
        else if (event.event === "failed") reject(failed(`Our engine cannot start: ${event.reason}`));
        else {
          isReady = true;
          resolve({ url, pid: child.pid!, stop });
        }
      },
      onExit: (how, lastWords) => {
        const why = failed(`Our engine ended (${how}). ${lastWords}`.trim());
        reject(why);
        if (isReady && !isStopping) session.end(why);
      },
    },
  );
  const stop = () => {
    isStopping = true;
    return child.stop(STOP_MS);
  };
  try {
    return await session.during(promise);
  } catch (thrown) {
    child.kill();
    throw thrown;
  }
}

const failed = (message: string) => new KamadoError("engine_unavailable", message);
