// Engines that are not ours: each, as it was recorded or runs here, gives a text, JSON under a schema, a decision and a clear refusal of a
// picture, with at most one wasted request of all. `test/model/other-engines/record.ts` records one anew.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { findLlamaServer } from "../../worker/engine/install/place.ts";
import { KamadoError } from "../../worker/errors.ts";
import { NO_REAL_MODEL, SMOLLM2 } from "../models/real-models.ts";
import { type Recording, recorder, replay } from "./other-engines/exchanges.ts";
import { askAll, type Shown } from "./other-engines/questions.ts";

const FOLDER = join(import.meta.dirname, "other-engines");
const recordings = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".json"))
  .map(
    (name) =>
      [
        name.replace(/\.json$/, ""),
        JSON.parse(readFileSync(join(FOLDER, name), "utf8")) as Recording,
      ] as const,
  );

function checkAll({ text, schema, decision, picture, receipt, wasted }: Shown, answers: string) {
  expect(text).not.toBe("");
  for (const value of [schema.first, schema.second]) expect(value).toEqual({ type: expect.any(String) });
  expect(wasted.first).toBeLessThanOrEqual(1);
  expect(wasted.second).toBe(0);
  for (const { best, probabilities } of [decision.first, decision.second]) {
    expect(best).not.toBeNull();
    expect(probabilities[best!]).toBeGreaterThan(0.5);
    expect(probabilities.yes + probabilities.no).toBeCloseTo(1, 10);
  }
  for (const refusal of [picture.first, picture.second]) {
    expect(refusal).toBeInstanceOf(KamadoError);
    expect(refusal).toMatchObject({ code: "engine_rejected", retry: false });
    expect((refusal as KamadoError).hint).toContain("KAMADO_MMPROJ");
  }
  expect(picture.requests).toEqual([1, 1]);
  expect(receipt).toMatchObject({ model: answers, requests: 1 });
  expect(receipt.promptTokens).toBeGreaterThan(0);
  expect(receipt.completionTokens).toBeGreaterThan(0);
}

describe("engines that are not ours", () => {
  test.for(recordings)(
    "%s: text, schema, decision, picture, model and receipt are right",
    async ([, recording]) => {
      await using server = await replay(recording);
      const shown = await askAll(server.url, server.seen, recording.asks);
      checkAll(shown, recording.answers);
    },
  );

  test("a server that needs a model's name, and is not told one, says which it has", async () => {
    const recording = recordings.find(([name]) => name === "ollama")![1];
    await using server = await replay(recording);
    const refused = await askAll(server.url, server.seen).catch((thrown: KamadoError) => thrown);
    expect(refused).toMatchObject({
      code: "engine_unavailable",
      hint: expect.stringContaining("KAMADO_MODEL"),
    });
    expect((refused as KamadoError).message).toContain("llama3.2:latest, qwen3:4b");
  });

  test("one model decides the same on every server that tells probabilities", async () => {
    const shares = recordings
      .filter(([, { from, answers }]) => from === "recorded" && /smollm2|default_model/i.test(answers))
      .map(async ([, recording]) => {
        await using server = await replay(recording);
        return (await askAll(server.url, server.seen, recording.asks)).decision.first.probabilities.yes;
      });
    const [first, ...others] = await Promise.all(shares);
    expect(others).toHaveLength(2);
    for (const other of others) expect(Math.abs(other - first!)).toBeLessThan(0.02);
  });
});

/** `NAME=URL[=MODEL],…`: servers that run on this machine. */
const RUNNING = (process.env.KAMADO_TEST_ENGINES ?? "").split(",").filter(Boolean);

describe("engines that run here", () => {
  if (RUNNING.length === 0)
    test("others", (context) => context.skip("none is named in KAMADO_TEST_ENGINES=NAME=URL=MODEL,…"));
  test.for(RUNNING)("%s", { timeout: 1_200_000 }, async (running) => {
    const [, url, model] = running.split("=");
    await using proxy = await recorder(url!);
    const shown = await askAll(proxy.url, proxy.seen, model);
    checkAll(shown, shown.receipt.model!);
  });

  const llamaServer = findLlamaServer(join(homedir(), ".kamado"));
  const missing =
    llamaServer === undefined ? "llama-server is not built" : SMOLLM2 === undefined ? NO_REAL_MODEL : "";
  test("llama-server", { timeout: 120_000 }, async (context) => {
    if (missing !== "") return context.skip(missing);
    await using server = await started(llamaServer!, SMOLLM2!);
    await using proxy = await recorder(server.url);
    const shown = await askAll(proxy.url, proxy.seen);
    checkAll(shown, shown.receipt.model!);
    expect(proxy.seen.filter(({ status }) => status !== 200).map(({ asks }) => asks)).toEqual([
      "a picture",
      "a picture",
    ]);
  });
});

async function started(program: string, model: string) {
  const port = await freePort();
  const args = ["-m", model, "--port", String(port), "-t", "1", "-c", "4096", "--no-webui"];
  const child: ChildProcess = spawn(program, args, { stdio: "ignore" });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const serves = async () => (await fetch(`${url}/health`).catch(() => undefined))?.ok === true;
  while (child.exitCode === null && !(await serves())) await sleep(100);
  const stop = async () => {
    child.kill();
    await exited;
  };
  return { url, [Symbol.asyncDispose]: stop };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
