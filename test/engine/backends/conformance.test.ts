import OpenAI from "openai";
import { pino } from "pino";
import { describe, test } from "vitest";
import { openLlamaServer } from "../../../worker/engine/backends/llama-server/open.ts";
import { startEngine } from "../../../worker/engine/supervisor/supervisor.ts";
import { CONTEXT, runEngineSuite, SLOTS } from "../../conformance/engine.ts";
import { running, scripted } from "../running.ts";
import { tinyEngine, writePair } from "../tiny-model.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "./llama-server/installed.ts";

const REFUSED = "the library cannot do it; llama-node/open.test.ts shows that it is refused";
const NO_MODEL = "a script has no vocabulary and draws nothing";

runEngineSuite(
  "the scripted engine",
  () => {
    const answer = "It is a very long story that ends well";
    const rules = [
      { when: "long ", tokenMs: 50, answer: "word ".repeat(400) },
      { when: "Say", answer },
      { when: "Draw", answer },
      { when: "Once", answer },
      { when: "next", answer },
    ];
    return scripted({ rules }, { slots: SLOTS });
  },
  {
    "a seed decides what is drawn": NO_MODEL,
    "a special token's spelling in a text is text": NO_MODEL,
    "a bias forbids a token and forces one": NO_MODEL,
    "penalties keep an answer from repeating itself": NO_MODEL,
    "probabilities are the model's own under a schema too": NO_MODEL,
  },
);

runEngineSuite("node-llama-cpp", () => tinyEngine({ slots: SLOTS, contextSize: CONTEXT }));

runEngineSuite(
  "llama-node",
  async () => {
    const { model, remove } = writePair();
    // In a process of its own: its native code may end the process, and prints.
    const options = { model, backend: "llama-node" as const, slots: SLOTS, contextSize: CONTEXT, threads: 1 };
    const engine = startEngine({ ...options, port: 0, onLog: () => {} });
    await engine.ready();
    const { url } = engine;
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
    const close = async () => {
      await engine.stop();
      remove();
    };
    return { url, client, close };
  },
  {
    "probabilities are the model's own under a schema too": REFUSED,
    "a bias forbids a token and forces one": REFUSED,
  },
);

if (LLAMA_SERVER === undefined)
  describe("llama-server", () =>
    test("keeps these promises too", (context) => context.skip(NO_LLAMA_SERVER)));
else
  runEngineSuite("llama-server", async () => {
    const { model, remove } = writePair();
    const log = pino({ level: "silent" });
    const options = { command: LLAMA_SERVER!, model, slots: SLOTS, contextSize: CONTEXT, threads: 1 };
    const engine = await running(() => openLlamaServer(options, log), { slots: SLOTS });
    const close = async () => {
      await engine.close();
      remove();
    };
    return { ...engine, close };
  });
