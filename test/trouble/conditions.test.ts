// What counts as trouble.
import { expect, test } from "vitest";
import {
  type ConditionName,
  conditionsOf,
  type Found,
  type Watched,
} from "../../worker/trouble/conditions.ts";
import { createRig } from "../rig.ts";

const WELL: Watched = {
  ...createRig().worker.state(),
  engine: { answers: true },
  disk: { folder: "/data", freeBytes: 50e9 },
};
const NONE: Omit<Found, "state"> = {
  deadJobs: { now: 3, before: 3 },
  deadDeliveries: { now: 0, before: 0 },
  off: [],
};
const error = { code: "engine_unavailable", message: "It is gone.", hint: "Start it." };
const found = (state: Partial<Watched>, more: Partial<Found> = {}, open: ConditionName[] = []) =>
  conditionsOf({ ...NONE, ...more, state: { ...WELL, ...state } }, new Set(open));

test("a worker that is well has none; dead letters that were there before are none", () => {
  expect(found({})).toEqual({});
});

test.each<[ConditionName, Partial<Watched>, Partial<Found>, RegExp]>([
  ["engine", { engine: { answers: false, error } }, {}, /engine_unavailable: It is gone/],
  ["queue", { queue: { url: "https://q", health: "network", hint: "Look." } }, {}, /https:\/\/q: network/],
  ["outbox", { deliveries: { url: "https://d", health: "missing_queue" } }, {}, /missing_queue/],
  ["bucket", { bucket: { name: "kamado", health: "forbidden" } }, {}, /kamado: forbidden/],
  ["start_check", { startCheck: { error } }, {}, /It is gone/],
  ["disk", { disk: { folder: "/data", freeBytes: 4.9e9 } }, {}, /4.9 GB are free for \/data/],
  ["dead_jobs", {}, { deadJobs: { now: 5, before: 3 } }, /About 2 new, 5 in all/],
  ["dead_deliveries", {}, { deadDeliveries: { now: 1, before: 0 } }, /About 1 new, 1 in all/],
  [
    "destinations_off",
    {},
    { off: ["callback:https://a"] },
    /1 destination answered 410 .*callback:https:\/\/a/,
  ],
])("%s", (name, state, more, message) => {
  const all = found(state, more);
  expect(Object.keys(all)).toEqual([name]);
  expect(all[name]).toMatchObject({ name, message: expect.stringMatching(message) });
  // Titles go into headers.
  expect(all[name]!.title).toMatch(/^[ -~]+$/);
});

test("an engine that loads its model, and what could not be asked, is neither well nor in trouble", () => {
  const all = found({ engine: { answers: false } }, { deadJobs: null, deadDeliveries: null, off: null });
  expect(all).toEqual({ engine: null, dead_jobs: null, dead_deliveries: null, destinations_off: null });
});

test("a queue that limits calls is no trouble", () => {
  expect(found({ queue: { url: "https://q", health: "throttled" } })).toEqual({});
});

test("a disk that was nearly full needs some room before it counts as well", () => {
  const disk = { folder: "/data", freeBytes: 5.5e9 };
  expect(found({ disk })).toEqual({});
  expect(Object.keys(found({ disk }, {}, ["disk"]))).toEqual(["disk"]);
});
