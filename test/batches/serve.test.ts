// OpenAI's own clients on a real `kamado serve` that is killed in the middle of their batches and started again. CI runs it with 1,000 lines
// for each client (.ci/run).
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import OpenAI, { toFile } from "openai";
import { beforeAll, expect, test } from "vitest";
import { served } from "../cli/process.ts";
import { OPENAI, pythonOf, whyNot } from "../emulators/emulators.ts";
import { jsonl } from "./rig.ts";

const LINES = Number(process.env.KAMADO_TEST_BATCH_LINES);
const NOT_ASKED_FOR = "it starts `kamado serve` four times; KAMADO_TEST_BATCH_LINES=1000 runs it";
const TIMEOUT = 600_000;
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "kamado-batches-"));
let port = 0;
let client: OpenAI;
let serving: Awaited<ReturnType<typeof served>>;

const start = async () => {
  serving = await served([], {
    KAMADO_WEB_PORT: String(port),
    KAMADO_DATA_DIR: folder,
    KAMADO_SCRIPT: join(folder, "script.json"),
    KAMADO_SLOTS: "8",
    // What the killed worker held comes back soon.
    KAMADO_VISIBILITY_SECONDS: "3",
    KAMADO_LOG_LEVEL: "error",
  });
};

beforeAll(async () => {
  if (!LINES) return;
  port = await freePort();
  writeFileSync(join(folder, "script.json"), JSON.stringify({ rules: [{ answer: "Yes." }] }));
  client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: "none", maxRetries: 10 });
  await start();
}, TIMEOUT);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: free } = server.address() as { port: number };
  server.close();
  return free;
}

/** Kills the worker with its queue and its engine when this batch has come so far, and starts it again. */
async function killIn(batch: string): Promise<void> {
  while ((await client.batches.retrieve(batch)).request_counts!.completed < LINES / 4) await sleep(10);
  const killed = await client.batches.retrieve(batch);
  process.kill(-serving.child.pid!, "SIGKILL");
  await serving.exited;
  expect(killed.status).toBe("in_progress");
  await start();
}

const names = (prefix: string) => Array.from({ length: LINES }, (_, at) => `${prefix}-${at}`).toSorted();

test("the client for Node finishes a batch that was killed in the middle, each custom_id once", {
  timeout: TIMEOUT,
}, async (context) => {
  if (!LINES) return context.skip(NOT_ASKED_FOR);
  const lines = names("node").map((custom_id) => ({
    ...{ custom_id, method: "POST", url: "/v1/chat/completions" },
    body: { model: "default", messages: [{ role: "user", content: custom_id }], max_tokens: 8 },
  }));
  const file = await client.files.create({
    file: await toFile(Buffer.from(jsonl(lines)), "in.jsonl"),
    purpose: "batch",
  });
  const { id } = await client.batches.create({
    ...{ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" },
  });
  await killIn(id);
  let batch = await client.batches.retrieve(id);
  for (; batch.status !== "completed"; batch = await client.batches.retrieve(id)) await sleep(100);
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
  const text = await (await client.files.content(batch.output_file_id!)).text();
  const output = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(output.map(({ custom_id }) => custom_id).toSorted()).toEqual(names("node"));
  expect(output[0].response.body).toMatchObject({
    object: "chat.completion",
    choices: [{ message: { role: "assistant", content: "Yes." }, finish_reason: "stop" }],
    usage: { completion_tokens: expect.any(Number) },
  });
});

test("the client for Python does too", { timeout: TIMEOUT }, async (context) => {
  if (!LINES) return context.skip(NOT_ASKED_FOR);
  const missing = whyNot(OPENAI);
  if (missing !== null) return context.skip(missing);
  const script = join(import.meta.dirname, "batch_client.py");
  const env = { ...process.env, NO_PROXY: "127.0.0.1" };
  const args = [script, `http://127.0.0.1:${port}/v1`, String(LINES)];
  const running = run(pythonOf(OPENAI), args, { env, maxBuffer: 2 ** 26 });
  const [id] = (await once(running.child.stderr!, "data")) as [string];
  await killIn(id.trim());
  const { stdout } = await running;
  expect(JSON.parse(stdout)).toEqual({
    status: "completed",
    counts: { total: LINES, completed: LINES, failed: 0 },
    error_file: null,
    ids: names("python"),
    answers: ["Yes."],
    listed: true,
  });
});
