// What the state says of a full disk.
import { expect, test } from "vitest";
import { viewStatus } from "../../worker/cli/commands/status-view.ts";
import { createConsole } from "../../worker/console/console.ts";
import { withDisk } from "../../worker/console/data-disk.ts";
import { createWebApp } from "../../worker/console/server.ts";
import type { State } from "../../worker/console/state.ts";
import { createRig } from "../rig.ts";
import { emptyConsole } from "./fake-services.ts";

const disk = (bavail: number) => () => ({ bavail, bsize: 4_096 });
const ready = (): State => ({ ...createRig().worker.state(), status: "READY" });
const full = (holdsQueue: boolean) => withDisk(ready(), "/data", { holdsQueue, statfs: disk(3) });

test("a full disk under the embedded queue is UNHEALTHY, in /health, on the page and in `kamado status`", async () => {
  const state = full(true);
  expect(state.status).toBe("UNHEALTHY");
  const mounts = [{ path: "/", app: createConsole({ ...emptyConsole(), state: () => state }) }];
  const app = createWebApp({ state: () => state, token: undefined, mounts });
  const health = await app.request("/health", { headers: { host: "localhost" } });
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ disk: "disk_full", diskHint: expect.stringMatching(/^Free /) });
  expect(await (await app.request("/", { headers: { host: "localhost" } })).text()).toMatch(
    /disk_full \/data<\/code><\/p><p>Free some space/,
  );
  const now = new Date().toISOString();
  const service = { pid: 1, startedAt: now, web: "http://w", state, isSilent: false, engine: null };
  const queues = { jobs: [], outbox: null, deadJobs: 0, deadDeliveries: 0 };
  expect(viewStatus({ service, running: [], queues })).toMatch(/disk +full, \/data\n +Free some space/);
});

test("with the queue elsewhere a full disk is named and the worker stays READY", () => {
  expect(full(false)).toMatchObject({ status: "READY", disk: { isFull: true, hint: expect.any(String) } });
});

test("a disk with room needs no word, and a folder that cannot be asked about changes nothing", () => {
  const state = withDisk(ready(), "/data", { holdsQueue: true, statfs: disk(1e6) });
  expect(state).toMatchObject({ status: "READY", disk: { isFull: false } });
  expect(state.disk).not.toHaveProperty("hint");
  const missing = () => {
    throw new Error("ENOENT");
  };
  expect(withDisk(ready(), "/data", { holdsQueue: true, statfs: missing })).not.toHaveProperty("disk");
});

test("a worker that starts or stops keeps that status on a full disk", () => {
  const starting = { ...ready(), status: "STARTING" as const };
  expect(withDisk(starting, "/data", { holdsQueue: true, statfs: disk(0) }).status).toBe("STARTING");
});
