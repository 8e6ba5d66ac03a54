// What a scripted engine was asked can be counted, however the engine ends.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Record } from "../../../../worker/engine/backends/scripted/script.ts";
import { startEngine } from "../../../../worker/engine/supervisor/supervisor.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kamado-record-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("an answer during which the engine died was begun and is not over; the one before it is", async () => {
  const record = join(folder, "answers.jsonl");
  const script = JSON.stringify({ record, rules: [{ when: "deadly", do: "crash" }] });
  const engine = startEngine({ backend: "scripted", script, slots: 1, port: 0, dataDir: folder });
  try {
    await engine.ready();
    const ask = (prompt: string) =>
      fetch(`${engine.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "scripted", prompt }),
      });
    expect((await ask("harmless")).status).toBe(200);
    const { pid } = engine;
    await expect(ask("deadly")).rejects.toThrow();
    const lines = readFileSync(record, "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as Record)).toMatchObject([
      { pid, what: "begun", prompt: "harmless" },
      { pid, what: "over", prompt: "harmless" },
      { pid, what: "begun", prompt: "deadly" },
    ]);
  } finally {
    await engine.stop();
  }
});
