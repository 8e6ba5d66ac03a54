// Blows at a worker's engine, which is no child of the storm's: how it is found, and what is done to it.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Frost } from "./frost.ts";
import type { Guardian } from "./guardian.ts";
import type { Blow } from "./plan.ts";

export type EngineBlow = Extract<Blow, { do: "kill-engine" | "terminate-engine" | "freeze-engine" }>;

/** False when there is none to strike just now. */
export async function strikeEngineOf(
  worker: number,
  blow: EngineBlow,
  { frost, guardian }: { frost: Frost; guardian: Guardian },
): Promise<boolean> {
  const engine = await engineOf(worker);
  if (engine === null) return false;
  switch (blow.do) {
    case "kill-engine":
      return sent(engine, "SIGKILL");
    case "terminate-engine":
      // One that is frozen would only hear of it when it wakes.
      return !frost.has(engine) && sent(engine, "SIGTERM");
    case "freeze-engine":
      return frost.freeze(engine, blow.forMs, (signal) => {
        const isSent = sent(engine, signal);
        // Frozen it cannot notice that its worker has gone: until it wakes it is guarded itself.
        if (signal === "SIGCONT") guardian.release(engine);
        else if (isSent) guardian.guard(engine);
        return isSent;
      });
  }
}

/** The engine is a child of its worker. */
async function engineOf(worker: number): Promise<number | null> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid=,args="]);
  const engine = stdout
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .find((found) => Number(found?.[2]) === worker && found![3]!.includes("engine/main.ts"));
  return engine ? Number(engine[1]) : null;
}

/** False when it was gone already. */
export function sent(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
