// text.summarize on a real model, SmolLM2-135M-Instruct: small enough to invent numbers, which must not come through.
import { afterAll, beforeAll, expect, test } from "vitest";
import textSummarize from "../../handlers/text-summarize.ts";
import { runHandler } from "../../testing/testing.ts";
import { startEngine } from "../../worker/engine/supervisor/supervisor.ts";
import type { Ask } from "../../worker/job/handler.ts";
import { sentences } from "../../worker/job/text.ts";
import { NO_REAL_MODEL, SMOLLM2 } from "../models/real-models.ts";
import { clientOf, type Running } from "./running-engine.ts";

let running: Running | undefined;
beforeAll(async () => {
  if (SMOLLM2 === undefined) return;
  const shape = { slots: 2, contextSize: 2_048, threads: 1 };
  const options = { model: SMOLLM2, backend: "node-llama-cpp", ...shape, port: 0 } as const;
  running = await clientOf(startEngine({ ...options, onLog: () => {} }));
}, 120_000);
afterAll(() => running?.close());

const BAKERY =
  "The bakery in Mill Street opened in 1977. It sells 40 loaves of rye bread a day, most of them before eight in the morning. Its owner, Anna Sato, learned her trade in Kyoto. In March 2024 a fire destroyed the oven. Neighbours collected 7,200 dollars for a new one, and the shop opened again in May. Since then there is also a small café with 12 seats.";
const MARATHON =
  "On 4 July more than 3,000 people ran the marathon of Nonane. The winner, Peter Okafor, needed 2 hours and 14 minutes. It was 31 degrees, and 85 runners were treated for the heat. The mayor said that next year's marathon will begin at 6 in the morning.";

test("text.summarize gives each text a summary in its words, in order, and without invented numbers", async (context) => {
  if (running === undefined) return context.skip(`SmolLM2: ${NO_REAL_MODEL}`);
  const model = running.model();
  const texts = [{ title: "Bakery", text: BAKERY }, "It rained.", { title: "Marathon", text: MARATHON }];
  const { output } = await runHandler(
    textSummarize,
    { texts, length: 2 },
    { ask: (question) => model.ask(question as Ask) },
  );
  expect(output.summaries.map(({ title }) => title)).toEqual(["Bakery", null, "Marathon"]);
  expect(output.summaries[1]!.summary).toBe("It rained.");
  for (const [at, text, name] of [
    [0, BAKERY, /baker|bread|oven/i],
    [2, MARATHON, /marathon|ran|runners/i],
  ] as const) {
    const summary = output.summaries[at]!.summary!;
    expect(summary).toMatch(name);
    expect(sentences(summary).length).toBeLessThanOrEqual(2);
    const numbers = summary.match(/\d[\d,]*\d|\d/g) ?? [];
    expect(numbers.filter((number) => !text.includes(number))).toEqual([]);
  }
  expect(output.summary).not.toBe("");
}, 300_000);
