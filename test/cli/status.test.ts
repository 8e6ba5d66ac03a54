// What a person asks about a running Kamado: status, jobs, kinds, queue purge.
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { statusCommand } from "../../worker/cli/commands/status.ts";
import { viewEnded, viewEngine, viewStatus } from "../../worker/cli/commands/status-view.ts";
import { runKamado, served } from "./process.ts";

const dataDir = mkdtempSync(join(tmpdir(), "kamado-status-"));
const here = { KAMADO_DATA_DIR: dataDir };
const LONG = { timeout: 60_000, interval: 200 };
let service: Awaited<ReturnType<typeof served>>;

beforeAll(async () => {
  const script = JSON.stringify({ rules: [{ when: "hang", do: "hang" }] });
  service = await served(["--in-memory"], {
    ...here,
    KAMADO_SCRIPT: script,
    KAMADO_SLOTS: "1",
    KAMADO_DRAIN_SECONDS: "0",
  });
});
afterAll(async () => {
  service?.child.kill("SIGTERM");
  await service?.exited;
});

const enqueue = (id: string, prompt: string, ...more: string[]) =>
  runKamado(["enqueue", "prompt", "--input", "-", "--id", id, ...more], here, {
    input: JSON.stringify({ prompt }),
  });
const status = async () => JSON.parse((await runKamado(["status", "--json"], here)).out);
const widest = (text: string) => Math.max(...text.split("\n").map((line) => line.length));

test("status, jobs and purge tell what runs and for how long, what waits and what ended", async () => {
  const long = "x".repeat(128);
  expect((await enqueue(long, "say")).code).toBe(0);
  await enqueue("done", "say", "--wait", "60");
  await enqueue("runs", "hang");
  await expect
    .poll(async () => (await status()).running, LONG)
    .toEqual([
      { id: "runs", kind: "prompt", since: expect.any(Number), for: expect.stringMatching(/^\d+ (s|min)/) },
    ]);
  const shown = await runKamado(["status"], here);
  expect(shown).toMatchObject({ code: 0, errors: "" });
  expect(shown.out).toMatch(
    /Kamado is BUSY[\s\S]*engine +answers[\s\S]*1 slot[\s\S]*slots +1, as set[\s\S]*runs +prompt +\d+ s/,
  );
  expect(widest(shown.out)).toBeLessThanOrEqual(80);

  const jobs = await runKamado(["jobs"], here);
  expect(jobs.out).toMatch(/runs +prompt[\s\S]*ENDED[\s\S]*done +prompt +succeeded/);
  expect(widest(jobs.out)).toBeLessThanOrEqual(80);
  const lines = (await runKamado(["jobs", "--json", "--last", "1"], here)).out.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line).state)).toEqual(["running", "ended"]);
  const one = JSON.parse((await runKamado(["jobs", "done", "--json"], here)).out);
  expect(one).toMatchObject({
    id: "done",
    state: "succeeded",
    status: "succeeded",
    output: { text: expect.any(String) },
  });
  expect(await runKamado(["jobs", "runs"], here)).toMatchObject({
    code: 0,
    out: expect.stringContaining("running for"),
  });
  expect(await runKamado(["jobs", "nobody"], here)).toMatchObject({
    code: 1,
    errors: expect.stringContaining("waits in the queue"),
  });

  const asked = await runKamado(["queue", "purge"], here);
  expect(asked).toMatchObject({ code: 2, errors: expect.stringContaining("--yes") });
  await enqueue("waits", "hang");
  const purged = JSON.parse((await runKamado(["queue", "purge", "--yes", "--json"], here)).out);
  expect(purged).toMatchObject({ purged: [service.addresses.queue], jobs: expect.any(Number) });
  expect(purged.jobs).toBeGreaterThan(0);
  expect((await status()).queues.jobs).toMatchObject([{ waiting: 0 }]);
}, 120_000);

test("a worker that is not there is no reason not to see its queue", async () => {
  const variables = {
    KAMADO_DATA_DIR: mkdtempSync(join(tmpdir(), "kamado-status-")),
    KAMADO_QUEUE_URL: service.addresses.queue,
    AWS_ENDPOINT_URL: service.addresses.endpoint,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "thing",
  };
  const { out, code } = await runKamado(["status"], variables);
  expect([out, code]).toEqual([expect.stringMatching(/No Kamado runs here[\s\S]*in flight/), 3]);
}, 60_000);

test("kinds lists every kind in 80 columns, and shows what one takes and gives", async () => {
  const all = await runKamado(["kinds"]);
  expect(all.out).toMatch(/^ *article[\s\S]*image\.check +Answers a yes\/no question/);
  expect(widest(all.out)).toBeLessThanOrEqual(80);
  const lines = (await runKamado(["kinds", "--json"])).out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map(({ kind }) => kind)).toEqual([
    "article.extract",
    "image.check",
    "knowledge.research",
    "openai.request",
    "prompt",
    "text.summarize",
    "todo.match",
  ]);
  for (const one of lines)
    expect(one).toMatchObject({
      summary: expect.any(String),
      input: { type: "object" },
      output: expect.any(Object),
    });
  const [one] = lines.filter(({ kind }) => kind === "image.check");
  expect(one.input).toMatchObject({
    properties: { question: { type: "string" } },
    required: ["image", "question"],
  });
  expect((await runKamado(["kinds", "image.check"])).out).toContain('"question"');
  expect(await runKamado(["kinds", "image.chek"])).toMatchObject({
    code: 2,
    errors: expect.stringContaining("image.check"),
  });
}, 60_000);

test("status shows the worker that runs here although its queue does not answer", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-status-"));
  const away = "http://127.0.0.1:1";
  // The worker's page, which wants a token.
  const page = createServer((_, response) => void response.writeHead(401).end()).listen(0, "127.0.0.1");
  await once(page, "listening");
  const { port } = page.address() as AddressInfo;
  const found = {
    pid: process.pid,
    startedAt: new Date().toISOString(),
    engine: { url: away, model: "m", isDemo: false },
    web: { url: `http://127.0.0.1:${port}` },
    cloud: {
      isLocal: false,
      endpoint: away,
      region: "us-east-1",
      queueUrl: `${away}/q`,
      deadQueueUrl: `${away}/dead`,
      deadDeliveriesQueueUrl: `${away}/dead`,
      bucket: "kamado",
    },
  };
  writeFileSync(join(folder, "service.json"), JSON.stringify(found));
  vi.stubEnv("KAMADO_DATA_DIR", folder);
  const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    page.close();
    written.mockRestore();
  });
  const run = (...args: string[]) => statusCommand().parseAsync(args, { from: "user" });
  await expect(run()).rejects.toMatchObject({ code: "queue_unavailable" });
  expect(stripVTControlCharacters(String(written.mock.lastCall?.[0]))).toMatch(
    new RegExp(`^Kamado is running, since .*, pid ${process.pid}`),
  );
  written.mockClear();
  await expect(run("--json")).rejects.toMatchObject({ code: "queue_unavailable" });
  expect(written).not.toHaveBeenCalled();
});

test("a page that does not answer is not taken for one that asks for a token", () => {
  const service = {
    pid: 7,
    startedAt: new Date().toISOString(),
    web: "http://127.0.0.1:1",
    state: null,
    engine: null,
  };
  const queues = { jobs: [], outbox: null, deadJobs: 0, deadDeliveries: 0 };
  const view = (isSilent: boolean) => viewStatus({ service: { ...service, isSilent }, running: [], queues });
  expect(view(true)).toMatch(/page +does not answer; the process is stopped or has much to do \(`ps 7`\)/);
  expect(view(false)).toMatch(/page +asks for a token/);
});

test("status says what is loaded, with which chat template, and where the number of slots is from", () => {
  const shown = (health: Parameters<typeof viewEngine>[0]) =>
    viewEngine(health).map((line) => stripVTControlCharacters(line).trim().replaceAll(/ +/g, " "));
  const file = { file: "gemma-3-4b-it-Q4_K_M.gguf", quantization: "Q4_K_M" };
  const slotsFrom = {
    from: "measurement",
    measuredAt: "2026-11-21T09:00:00Z",
    steady: true,
    sampling: "temperature 0.7",
  };
  expect(shown({ ...file, images: true, chatTemplate: "file", slots: { total: 16 }, slotsFrom })).toEqual([
    "model gemma-3-4b-it-Q4_K_M.gguf, Q4_K_M, with a projector (reads pictures)",
    "chat template that of the model's file",
    "slots 16, as measured, measured 2026-11-21 at temperature 0.7, steady",
  ]);
  const next = { slots: 16, measuredAt: "2026-11-22T09:00:00Z" };
  const disturbed = { ...slotsFrom, from: "default", steady: false, next };
  const assumed = { ...file, images: false, chatTemplate: "assumed: chatml", slots: { total: 8 } };
  expect(shown({ ...assumed, slotsFrom: disturbed }).slice(1)).toEqual([
    "chat template none in the file, chatml assumed",
    "slots 8, the default, measured 2026-11-21 at temperature 0.7, not steady (other work, or too short answers)",
    "16 from the next start on, measured 2026-11-22 while idle",
  ]);
  expect(shown({ chatTemplate: "gemma", slots: { total: 4 }, slotsFrom: { from: "setting" } })).toEqual([
    "chat template gemma",
    "slots 4, as set",
  ]);
  // Another server says none of it.
  expect(shown({})).toEqual([]);
});

test("ids that are UUIDs stay whole in a table of 80 columns, because a person copies them", () => {
  const id = "8dcc0a4d-63aa-465e-9b57-0f1c7b1d9a42";
  const shown = viewEnded([
    { id, kind: "article.extract", outcome: "rejected", at: 0, error: "invalid_input" },
  ]);
  expect(shown).toContain(` ${id} `);
  for (const line of shown.split("\n")) expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(80);
});
