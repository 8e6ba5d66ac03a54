import { pino } from "pino";
import { describe, test } from "vitest";
import { openLlamaServer } from "../../../worker/engine/backends/llama-server/open.ts";
import { CONTEXT, runEngineSuite, SLOTS } from "../../conformance/engine.ts";
import { running, scripted } from "../running.ts";
import { tinyEngine, writePair } from "../tiny-model.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "./llama-server/installed.ts";

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
