// During an upgrade an older Kamado and this one share one queue and one bucket. The older one is exported from this repository's history and
// runs with the packages that are installed here.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { createClient } from "../../client/client.ts";
import type { Queue } from "../../worker/queue/queue.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { setUpWorkers } from "./workers.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** Before there were handlers of one's own. It has the packages that are installed here, so it must not be much older. */
const OLDER = "1b6018b";

/** The folder of the older Kamado, or why there is none. */
function exportOlder(): { folder: string } | { missing: string } {
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", ROOT, ...args], { stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1e8 });
  try {
    git("cat-file", "-e", `${OLDER}^{commit}`);
  } catch {
    return { missing: `the commit ${OLDER} is not here: this is no clone with its history` };
  }
  const folder = mkdtempSync(join(tmpdir(), "kamado-older-"));
  const archive = git("archive", OLDER, "worker", "handlers", "package.json");
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return { folder };
}

const setup = setUpWorkers();
const LONG = { timeout: 60_000, interval: 100 };

const MOOD = `import { defineHandler } from "kamado/handler";
import { z } from "zod";
export default defineHandler({
  kind: "mood.read",
  summary: "Says how a sentence sounds.",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({ mood: z.string() }),
  run: async ({ text }, { model }) => ({ mood: await model.ask({ instructions: "Mood?", content: text }) }),
});
`;

test("an older worker and this one do all jobs of one queue; a kind that the older one lacks is kept for this one", async (context) => {
  const older = exportOlder();
  if ("missing" in older) return context.skip(older.missing);
  const folder = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  writeFileSync(join(folder, "mood-read.ts"), MOOD);
  const record = join(folder, "record.jsonl");
  const script = JSON.stringify({ waitMs: 300, record });
  const common = { KAMADO_SLOTS: "1", KAMADO_PREFETCH: "0", KAMADO_SCRIPT: script };
  const { queue, results, start, aws } = setup();
  const deadQueue = sqsQueue(setup().clients.sqs, aws.resources.deadQueueUrl);
  const send = (job: object) => queue.send(JSON.stringify(job));
  const mood = (id: string) => send({ id, kind: "mood.read", input: { text: id } });
  const status = async (ids: string[]) =>
    Promise.all(ids.map(async (id) => (await results.find(id))?.status ?? null));

  const old = start({ ...common, KAMADO_WORKER_NAME: "older" }, { installation: older.folder });
  await mood("early");
  await expect.poll(async () => (await results.find("early"))?.error?.code, LONG).toBe("unknown_kind");

  const newer = start({ ...common, KAMADO_WORKER_NAME: "newer", KAMADO_HANDLERS: folder });
  await expect.poll(() => newer.log(), LONG).toContain('"working"');
  const prompts = Array.from({ length: 10 }, (_, index) => `prompt-${index}`);
  const moods = Array.from({ length: 4 }, (_, index) => `mood-${index}`);
  for (const id of prompts) await send({ id, kind: "prompt", input: { prompt: id } });
  for (const id of moods) await mood(id);
  await send({
    id: "todo",
    kind: "todo.match",
    input: { text: "buy tea", todos: [{ id: 1, title: "pay the rent" }] },
  });
  // The same job again, as a sender does that heard nothing: whichever worker gets it answers with the stored result.
  for (const id of prompts.slice(0, 4)) await send({ id, kind: "prompt", input: { prompt: id } });

  const known = [...prompts, "todo"];
  await expect.poll(() => status(known), LONG).toEqual(known.map(() => "succeeded"));
  await expect.poll(async () => (await status(moods)).includes(null), LONG).toBe(false);
  const workers = await Promise.all(prompts.map(async (id) => (await results.find(id))!.receipt.worker));
  expect(new Set(workers)).toEqual(new Set(["older", "newer"]));

  // The client sends all that it can, and finds the results of either worker to be those of its jobs.
  const client = createClient({
    queueUrl: aws.resources.jobsQueueUrl,
    bucket: aws.resources.bucket,
    ...setup().clients,
  });
  const policy = {
    expiresAt: new Date(Date.now() + 600_000),
    timeoutSeconds: 60,
    priority: 7,
    model: "scripted",
  };
  const deliver = [{ sns: aws.resources.topicArn }];
  const jobs = Array.from({ length: 8 }, (_, index) => ({
    kind: "prompt" as const,
    // One is so long that a pointer to it is sent.
    input: { prompt: index === 0 ? `long ${"x".repeat(950_000)}` : `client-${index} 家賃 😀` },
    ...(index % 2 === 0 && { policy, deliver }),
  }));
  const sent = await client.enqueueMany(jobs);
  const ended = await Promise.all(sent.map(async (one) => (one.ok ? client.wait(one) : one)));
  expect(ended.slice(1)).toEqual(ended.slice(1).map(() => expect.objectContaining({ status: "succeeded" })));
  expect(ended[0]).toMatchObject({
    error: { code: "invalid_input", message: expect.stringContaining("prompt") },
  });
  const byWhom = ended.map((one) => ("receipt" in one ? one.receipt.worker : ""));
  expect(new Set(byWhom)).toEqual(new Set(["older", "newer"]));

  old.child.kill("SIGTERM");
  expect((await old.exited)[0]).toBe(0);
  // What `kamado dead redrive` does: each message as it was.
  const letters = await untilEmpty(deadQueue);
  expect(letters.map((body) => JSON.parse(body).id)).toContain("early");
  for (const body of letters) await queue.send(body);
  const all = ["early", ...moods];
  await expect.poll(() => status(all), LONG).toEqual(all.map(() => "succeeded"));
  const asked = readFileSync(record, "utf8")
    .split("\n")
    .filter((line) => line.includes('"begun"'));
  expect(prompts.map((id) => asked.filter((line) => new RegExp(`${id}\\b`).test(line)).length)).toEqual(
    prompts.map(() => 1),
  );
}, 120_000);

async function untilEmpty(queue: Queue): Promise<string[]> {
  const bodies: string[] = [];
  for (;;) {
    const messages = await queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 60 });
    if (messages.length === 0) return bodies;
    bodies.push(...messages.map(({ body }) => body));
  }
}
