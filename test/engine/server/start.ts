// An engine for one test, closed when the test is over.
import { onTestFinished } from "vitest";
import { recording, scripted } from "../running.ts";

export async function start(...options: Parameters<typeof scripted>) {
  const engine = await scripted(...options);
  onTestFinished(engine.close);
  return engine;
}

/** One that records what the backend is asked for. */
export async function recorder() {
  const engine = await recording();
  onTestFinished(engine.close);
  return engine;
}
