// Our engine as a process of its own, started as the worker starts it.
import { EngineChild, type EngineFlags } from "../worker/engine/child.ts";
import { KamadoError } from "../worker/errors.ts";

/** A server under measurement. */
export type ServerProcess = { url: string; pid: number; stop(): Promise<void> };

const STOP_MS = 15_000;

/** Resolves when it can serve. Without the supervisor: an engine that falls over must end the measurement, not spoil it. */
export function startOurEngine(flags: EngineFlags): Promise<ServerProcess> {
  const { promise, resolve, reject } = Promise.withResolvers<ServerProcess>();
  let url = "";
  const child = new EngineChild(
    { port: 0, logLevel: "error", ...flags },
    {
      onLog: () => {},
      onEvent: (event) => {
        if (event.event === "listening") url = event.url;
        else if (event.event === "ready") resolve({ url, pid: child.pid!, stop: () => child.stop(STOP_MS) });
        else {
          child.kill();
          reject(new KamadoError("engine_unavailable", `Our engine cannot start: ${event.reason}`));
        }
      },
      onExit: (how, lastWords) => {
        reject(new KamadoError("engine_unavailable", `Our engine ended (${how}). ${lastWords}`));
      },
    },
  );
  return promise;
}
