// How dead letters look on a terminal of 80 columns: no line breaks, and an id stays whole, because a person copies it.
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { viewDeadLetter, viewList } from "../../worker/cli/commands/dead-view.ts";
import type { DeadLetter } from "../../worker/dead-letters/read.ts";
import type { Attempt } from "../../worker/outbox/delivery-log.ts";

const ID = "01234567-89ab-cdef-0123-456789abcdef";
const DEAD: DeadLetter = {
  queue: "deliveries",
  id: ID,
  messageId: "m",
  from: null,
  group: null,
  kind: "article.extract",
  to: `callback:https://a-very-long-name.example.org/${"path/".repeat(20)}`,
  destination: null,
  code: "context_length_exceeded",
  reason: "The receiver answered with a sentence that is far longer than any terminal is wide. ".repeat(3),
  hint: null,
  errors: [],
  firstAt: "2026-01-02T03:04:05Z",
  lastAt: "2026-01-02T03:04:05Z",
  receives: 10,
  worker: "w",
  receipt: null,
  message: {
    id: "m",
    queue: "",
    body: "",
    handle: "",
    sentAt: 0,
    receiveCount: 1,
    group: null,
    attributes: {},
  },
};
const TRY: Attempt = {
  at: "2026-01-02T03:04:05.678Z",
  key: "k",
  to: DEAD.to!,
  result: "failed",
  attempt: 10,
  outcome: "held back",
  error: "context_length_exceeded",
  tookMs: 120_000,
  nextAt: "2026-01-05T03:04:05.678Z",
  worker: "w",
};

const { isTTY, columns } = process.stdout;
beforeEach(() => void Object.assign(process.stdout, { isTTY: true, columns: 80 }));
afterEach(() => void Object.assign(process.stdout, { isTTY, columns }));

const plain = (text: string) => stripVTControlCharacters(text).split("\n");

test("the list fits, and so does that of destinations that are turned off", () => {
  const off = { key: "k", to: DEAD.to!, at: DEAD.firstAt!, reason: DEAD.reason };
  const all = [DEAD, { ...DEAD, queue: "jobs" as const, to: null, kind: "prompt" }];
  const lines = plain(viewList(all, [off]));
  expect(lines.length).toBeGreaterThan(9);
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
});

test("an id stays whole, and where to and why stand below it", () => {
  const lines = plain(viewList([DEAD], []));
  expect(lines[2]).toContain(ID);
  expect(lines[3]).toMatch(/^ {2}to callback:https:\/\/a-very-long-name/);
});

test("the tries of a delivery fit", () => {
  const tries = plain(viewDeadLetter(DEAD, [TRY])).filter((line) => line.startsWith("    "));
  expect(tries.length).toBeGreaterThan(2);
  expect(tries.filter((line) => line.length > 80)).toEqual([]);
});

test("a pipe gets every reason whole", () => {
  Object.assign(process.stdout, { isTTY: false, columns: undefined });
  expect(viewList([DEAD], [])).toContain(DEAD.reason.trim());
});
