// A real engine and a client of it, for the tests of one file. Not a test.
import { EngineClient } from "../../worker/model/engine-client.ts";
import { createModel } from "../../worker/model/model.ts";

type Opened = { url: string; ready(): Promise<unknown>; stop(): Promise<void> };

/** The model as handlers get it, and what ends the engine. */
export async function clientOf(engine: Opened) {
  await engine.ready();
  const client = new EngineClient({ url: engine.url });
  const close = async () => {
    await client.close();
    await engine.stop();
  };
  return { model: () => createModel({ client, signal: new AbortController().signal }).model, close };
}
export type Running = Awaited<ReturnType<typeof clientOf>>;
