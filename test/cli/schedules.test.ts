// Schedules in a Kamado that runs: `kamado schedules` lists and runs them, and a file that is wrong keeps it from starting.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { refused, runKamado, SCRIPTED, served } from "./process.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-schedules-"));
const here = { KAMADO_DATA_DIR: folder };
const file = join(folder, "schedules.json");
const door = { name: "door", cron: "0 7 1 1 *", timezone: "UTC", kind: "prompt", input: { prompt: "look" } };
let service: Awaited<ReturnType<typeof served>>;

beforeAll(async () => {
  writeFileSync(file, JSON.stringify([door]));
  service = await served(["--in-memory"], { ...here, KAMADO_SCHEDULES_FILE: file });
}, 60_000);
afterAll(async () => {
  service?.child.kill("SIGTERM");
  await service?.exited;
});

const schedules = (...args: string[]) => runKamado(["schedules", ...args], here);

test("the list says when each runs next; one that is started runs as a job, and shows as the last", async () => {
  const before = await schedules();
  expect(before.out).toMatch(/^NAME +WHEN +NEXT +LAST\n(.*\n)?door +0 7 1 1 \* +\d{4}-01-01 \S+ +not yet$/m);
  const { out, code } = await schedules("run", "door");
  expect({ out, code }).toEqual({ out: expect.stringMatching(/^queued door-\S+Z\n$/), code: 0 });
  const id = out.trim().split(" ")[1]!;
  const response = await fetch(`${service.addresses.web}/schedules/door`);
  expect(await response.json()).toMatchObject({ last: { outcome: "sent" }, job: { id } });
  const waited = await runKamado(["enqueue", "prompt", "--id", id, "--wait", "--input", "-"], here, {
    input: JSON.stringify(door.input),
  });
  expect({ code: waited.code, errors: waited.errors }).toMatchObject({ code: 0 });
  expect(JSON.parse((await schedules("--json")).out)).toMatchObject({ name: "door", job: { id } });
}, 60_000);

test("one that there is not is an error", async () => {
  const { errors, code } = await schedules("run", "dor");
  expect({ errors, code }).toEqual({
    errors: expect.stringContaining('no schedule "dor"; there are door'),
    code: 2,
  });
}, 60_000);

test("where no Kamado runs the command says so", async () => {
  const { errors, code } = await runKamado(["schedules"], { KAMADO_DATA_DIR: join(folder, "none") });
  expect({ errors, code }).toEqual({ errors: expect.stringContaining("No Kamado runs here"), code: 3 });
}, 60_000);

test("a file that is wrong ends serve with the line, before anything starts", async () => {
  const wrong = join(folder, "wrong.json");
  writeFileSync(wrong, `[\n  ${JSON.stringify({ ...door, cron: "soon" })}\n]`);
  const { errors, code } = await refused(["serve", "--in-memory"], {
    ...SCRIPTED,
    KAMADO_SCHEDULES_FILE: wrong,
  });
  expect({ errors, code }).toEqual({
    errors: expect.stringContaining(`KAMADO_SCHEDULES_FILE (${wrong}): line 2: cron: expected five fields`),
    code: 2,
  });
}, 60_000);
