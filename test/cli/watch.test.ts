// `kamado worker --watch`: a handler outside of the repository is edited while its jobs run. None is lost, and each ran one version of it.
import { mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newCommand } from "../../worker/cli/commands/new.ts";
import { loadFile } from "../../worker/job/registry.ts";
import { setUpWorkers } from "./workers.ts";

const setup = setUpWorkers();
const LONG = { timeout: 60_000, interval: 50 };

/** Says its version before and after it asks the model, and that of the file that it imports. */
const handler = (version: number) => `import { defineHandler } from "kamado/handler";
import { z } from "zod";
import { shared } from "./_shared.ts";
const version: number = ${version};
export default defineHandler({
  kind: "slow.echo",
  summary: "Says which version it is.",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({ first: z.int(), last: z.int(), late: z.int() }),
  async run({ text }, { model }) {
    await model.ask({ instructions: "Wait.", content: text });
    return { first: version, last: shared(version), late: (await import("./_shared.ts")).shared(version) };
  },
});
`;

test("jobs that run while a handler of one's own is edited are all done, each on old or on new code", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  const path = join(folder, "slow-echo.ts");
  const record = join(folder, "record.jsonl");
  await newCommand().parseAsync(["slow.echo", "--folder", folder, "--json"], { from: "user" });
  const worker = setup().start(
    { KAMADO_HANDLERS: folder, KAMADO_SLOTS: "4", KAMADO_SCRIPT: JSON.stringify({ waitMs: 150, record }) },
    { flags: ["--watch"] },
  );
  const ids: string[] = [];
  const send = async (count: number) => {
    const more = Array.from({ length: count }, (_, index) => `job-${ids.length + index}`);
    ids.push(...more);
    for (const id of more)
      await setup().queue.send(JSON.stringify({ id, kind: "slow.echo", input: { text: id } }));
  };
  const outputs = async () =>
    (await Promise.all(ids.map((id) => setup().results.find(id)))).map((one) => one?.output);
  const firsts = async () => (await outputs()).map((one) => (one as { first: number } | undefined)?.first);

  // What `kamado new` wrote, as it is.
  await setup().queue.send(JSON.stringify({ id: "new", kind: "slow.echo", input: { text: "At last!" } }));
  await expect.poll(async () => (await setup().results.find("new"))?.output, LONG).toHaveProperty("mood");

  writeFileSync(join(folder, "_shared.ts"), "export const shared = (version: number) => version;");
  writeFileSync(path, handler(1));
  await expect.poll(() => worker.log(), LONG).toContain("has changed: new jobs run the new code");
  await send(20);
  await expect.poll(firsts, LONG).toContain(1);
  // As editors save: over another file.
  writeFileSync(`${path}~`, handler(2));
  renameSync(`${path}~`, path);
  await send(20);
  await expect.poll(firsts, LONG).toContain(2);
  writeFileSync(path, "export default {");
  await expect.poll(() => worker.log(), LONG).toContain("The code from before stays in use.");
  await send(6);
  writeFileSync(path, handler(3));
  await expect.poll(() => worker.log().split("has changed: new jobs run the new code"), LONG).toHaveLength(4);
  await send(4);

  await expect.poll(async () => (await firsts()).filter((one) => one === undefined), LONG).toEqual([]);
  const all = (await outputs()) as { first: number; last: number; late: number }[];
  expect(all.filter(({ first, last, late }) => first !== last || first !== late)).toEqual([]);
  expect(all.slice(-4).map(({ first }) => first)).toEqual([3, 3, 3, 3]);
  const asked = readFileSync(record, "utf8")
    .split("\n")
    .filter((line) => line.includes('"begun"'));
  const times = ids.map((id) => asked.filter((line) => new RegExp(`${id}\\b`).test(line)).length);
  expect(times).toEqual(Array.from({ length: 50 }, () => 1));
  expect(worker.child.exitCode).toBeNull();
}, 120_000);

test("a handler that never pauses ends its worker with its name, and its job is given up while others are done", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  const endless = `import { defineHandler } from "kamado/handler";
import { z } from "zod";
export default defineHandler({
  kind: "end.less",
  summary: "Never pauses.",
  input: z.strictObject({}),
  output: z.strictObject({}),
  run: async () => {
    for (;;);
  },
});
`;
  writeFileSync(join(folder, "end-less.ts"), endless);
  const variables = { KAMADO_HANDLERS: folder, KAMADO_STALL_SECONDS: "2", KAMADO_VISIBILITY_SECONDS: "3" };
  const worker = setup().start({ ...variables, KAMADO_MAX_ATTEMPTS: "1" });
  await setup().queue.send(JSON.stringify({ id: "loop", kind: "end.less", input: {} }));
  expect(await worker.exited).toEqual([null, "SIGKILL"]);
  expect(worker.log()).toMatch(
    /"level":"fatal".*code ran for \d+ s without a pause.*In hand: end\.less \(loop\)\./,
  );
  // As a service manager does.
  setup().start({ ...variables, KAMADO_MAX_ATTEMPTS: "1" });
  await setup().send("good");
  const find = async (id: string) => (await setup().results.find(id))?.error?.code;
  await expect.poll(() => find("loop"), LONG).toBe("attempts_exhausted");
  await expect.poll(async () => (await setup().results.find("good"))?.status, LONG).toBe("succeeded");
}, 120_000);

test("what a handler does not await may fail after its run, and its worker goes on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-händler-"));
  const careless = `import { defineHandler } from "kamado/handler";
import { z } from "zod";
export default defineHandler({
  kind: "care.less",
  summary: "Awaits nothing.",
  input: z.strictObject({}),
  output: z.strictObject({}),
  run: async () => {
    Promise.reject(new Error("nobody awaits it"));
    setTimeout(() => { throw new Error("in a timer"); }, 10);
    return {};
  },
});
`;
  writeFileSync(join(folder, "care-less.ts"), careless);
  const worker = setup().start({ KAMADO_HANDLERS: folder });
  await setup().queue.send(JSON.stringify({ id: "careless", kind: "care.less", input: {} }));
  await expect.poll(() => worker.log(), LONG).toMatch(/outside of its run: in a timer\..*/);
  expect(worker.log()).toContain("outside of its run: nobody awaits it.");
  await setup().send("good");
  await expect.poll(async () => (await setup().results.find("good"))?.status, LONG).toBe("succeeded");
  expect((await setup().results.find("careless"))?.status).toBe("succeeded");
}, 60_000);

test("a file of a handler that never ends loading costs its own kind alone", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-handlers-"));
  writeFileSync(join(folder, "never-loaded.ts"), "await new Promise(() => {});\nexport default {};\n");
  const { handler } = await loadFile(join(folder, "never-loaded.ts"), (file) => import(file), 20);
  expect(handler.broken?.message).toContain("it was not loaded within 0.02 s");
});

test("without a folder of one's own, --watch watches the kinds that come with Kamado", async () => {
  const worker = setup().start({}, { flags: ["--watch"] });
  await setup().send("a");
  await expect.poll(async () => (await setup().results.find("a"))?.status, LONG).toBe("succeeded");
  expect(worker.log()).not.toContain('"level":"error"');
}, 60_000);
