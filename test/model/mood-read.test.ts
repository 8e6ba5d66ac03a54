// The README's own example, as it stands there: it runs, and on a real model, SmolLM2-135M-Instruct, it is right.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runHandler } from "../../testing/testing.ts";
import { startEngine } from "../../worker/engine/supervisor/supervisor.ts";
import type { Handler } from "../../worker/job/handler.ts";
import { NO_REAL_MODEL, SMOLLM2 } from "../models/real-models.ts";
import { clientOf, type Running } from "./running-engine.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The sentence and its mood. Half of them also served to find the example's wording; of others it names about seven in ten. */
const SENTENCES = [
  ["At last! I got the job!", "happy"],
  ["What a wonderful day, I won the first prize!", "happy"],
  ["We are so glad that you came to our party.", "happy"],
  ["Best holiday ever, we had so much fun!", "happy"],
  ["How dare you! This is outrageous.", "angry"],
  ["You broke my window again, I am furious.", "angry"],
  ["Get out of my house right now!", "angry"],
  ["The train leaves at nine.", "neutral"],
  ["Water boils at 100 degrees.", "neutral"],
  ["The shop opens at ten on Mondays.", "neutral"],
] as const;

let running: Running | undefined;
let folder: string;

beforeAll(async () => {
  // Inside the repository, so that the handler finds zod.
  folder = mkdtempSync(join(ROOT, "test", ".mood-read-"));
  if (SMOLLM2 === undefined) return;
  const shape = { slots: 2, contextSize: 512, threads: 1 };
  const options = { model: SMOLLM2, backend: "node-llama-cpp", ...shape, port: 0 } as const;
  running = await clientOf(startEngine({ ...options, onLog: () => {} }));
}, 120_000);
afterAll(async () => {
  await running?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function handlerOfReadme(): Promise<Handler> {
  const [, source] = /```ts\n(\/\/ handlers\/mood-read\.ts.*?)```/s.exec(
    readFileSync(join(ROOT, "README.md"), "utf8"),
  )!;
  const file = join(folder, "mood-read.ts");
  writeFileSync(file, source!.replace('"../worker/', '"../../worker/'));
  return (await import(file)).default;
}

test("mood.read from the README asks for one of three moods, and doubts an improbable one", async () => {
  const moods = ["neutral", "angry", "happy"];
  for (const [happy, mood] of [
    [0.5, "happy"],
    [0.34, "uncertain"],
  ] as const) {
    const decide = () => ({ happy, angry: (1 - happy) / 2, neutral: (1 - happy) / 2 });
    const { output, asked } = await runHandler(await handlerOfReadme(), { text: "At last!" }, { decide });
    expect([output, asked[0]]).toEqual([
      { mood },
      expect.objectContaining({ content: "At last!", options: moods }),
    ]);
  }
});

test("mood.read from the README names the mood of at least seven sentences of ten", async (context) => {
  if (running === undefined) return context.skip(`SmolLM2: ${NO_REAL_MODEL}`);
  const { run } = await handlerOfReadme();
  const model = running.model();
  const moods = await Promise.all(
    // biome-ignore lint/suspicious/noExplicitAny: of a context the example uses only the model
    SENTENCES.map(async ([text]) => (await run({ text }, { model } as any)) as { mood: string }),
  );
  const right = SENTENCES.filter(([, mood], at) => moods[at]!.mood === mood);
  expect(right.length, JSON.stringify(moods)).toBeGreaterThanOrEqual(7);
}, 300_000);
