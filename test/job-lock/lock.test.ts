// What is stored in running/<id>.json, and for how long it holds.
import { expect, test } from "vitest";
import { isHeld, type LockRecord, parseRecord } from "../../worker/job-lock/lock.ts";

const RECORD: LockRecord = {
  worker: "another",
  token: "t",
  beat: 0,
  attempts: 0,
  holdMs: 20_000,
  deaths: { beside: 0, alone: 0 },
};
const parse = (text: string) => parseRecord(new TextEncoder().encode(text));

test("a lock is read as it was written", () => expect(parse(JSON.stringify(RECORD))).toEqual(RECORD));

test.each(["", "{", "null", "[]", '{"holdMs": "long"}', JSON.stringify({ ...RECORD, beat: -1 })])(
  "an object that is no lock (%s) holds nothing",
  (text) => expect(isHeld(parse(text), { ageMs: 0 })).toBe(false),
);

test.each([
  ["holds from its last write on", 20_000, 0, true],
  ["holds a little longer, because stores round times to seconds", 20_000, 21_999, true],
  ["then expires", 20_000, 22_000, false],
  ["holds nothing once it is released", 0, 0, false],
])("a lock %s", (_, holdMs, ageMs, expected) =>
  expect(isHeld({ ...RECORD, holdMs }, { ageMs })).toBe(expected),
);
