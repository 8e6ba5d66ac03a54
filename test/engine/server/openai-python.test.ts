// The official Python client on the scripted engine. `npm run emulators` installs it; without it the test says so and is
// skipped.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { OPENAI, pythonOf, whyNot } from "../../emulators/emulators.ts";
import { scripted } from "../running.ts";

const run = promisify(execFile);

test("the official Python client works unchanged", { timeout: 120_000 }, async (context) => {
  const missing = whyNot(OPENAI);
  if (missing !== null) return context.skip(missing);
  const engine = await scripted({
    thought: "let me see",
    rules: [{ when: "JSON" }, { when: "Once", answer: " a time" }, { answer: ["It is.", "It is not."] }],
  });
  onTestFinished(() => engine.close());
  const script = join(import.meta.dirname, "openai_client.py");
  const env = { ...process.env, NO_PROXY: "127.0.0.1" };
  const { stdout } = await run(pythonOf(OPENAI), [script, `${engine.url}/v1`], { env });
  expect(JSON.parse(stdout)).toEqual({
    models: ["scripted"],
    answers: ["It is.", "It is not."],
    usage: { prompt_tokens: 3, completion_tokens: 5 },
    streamed: "It is.",
    thought: "let me see",
    reasoning_tokens: 3,
    shaped: { locked: false },
    plain: " a time",
    refused: "context_length_exceeded",
  });
});
