// When trouble is told: after it has lasted, at most once an hour, and once when it is over.
import { describe, expect, test } from "vitest";
import type { Condition, Conditions } from "../../worker/trouble/conditions.ts";
import { type Episodes, look } from "../../worker/trouble/episodes.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const START = Date.UTC(2026, 0, 1);
const condition = (level?: number): Condition => ({
  name: "dead_jobs",
  title: "New dead letters of jobs",
  message: "",
  hint: "",
  ...(level !== undefined && { level }),
});

/** What is told in the course of time: from each moment (ms) on the condition is as said, looked at every ten seconds. */
function told(
  course: [from: number, is: Condition | null | undefined][],
  end: number,
  before: Episodes = {},
) {
  let episodes = before;
  const notes: [string, number][] = [];
  for (let at = 0; at <= end; at += 10 * SECOND) {
    const now = course.findLast(([from]) => from <= at)?.[1];
    const conditions: Conditions = now === undefined ? {} : { dead_jobs: now };
    const step = look(episodes, conditions, START + at);
    episodes = step.episodes;
    for (const { is } of step.notes) notes.push([is, at / SECOND]);
  }
  return { notes, episodes };
}

test("a condition is told when it has held for half a minute, and its end a minute after it is over", () => {
  expect(
    told(
      [
        [0, condition()],
        [5 * MINUTE, undefined],
      ],
      10 * MINUTE,
    ).notes,
  ).toEqual([
    ["begun", 30],
    ["over", 360],
  ]);
});

test("what comes and goes within half a minute is told to nobody", () => {
  expect(
    told(
      [
        [0, condition()],
        [20 * SECOND, undefined],
        [MINUTE, condition()],
        [80 * SECOND, undefined],
      ],
      MINUTE * 10,
    ).notes,
  ).toEqual([]);
});

test("one that lasts is told once, however long", () => {
  expect(told([[0, condition()]], 5 * 60 * MINUTE).notes).toEqual([["begun", 30]]);
});

test("a condition that comes and goes is told at most once an hour", () => {
  const course = Array.from({ length: 40 }, (_, index): [number, Condition | undefined] => [
    index * 3 * MINUTE,
    index % 2 === 0 ? condition() : undefined,
  ]);
  const begun = told(course, 120 * MINUTE).notes.filter(([is]) => is === "begun");
  expect(begun.length).toBe(2);
  expect(begun[1]![1] - begun[0]![1]).toBeGreaterThanOrEqual(3_600);
});

test("one that comes back within the hour and stays is told when the hour is over", () => {
  const { notes } = told(
    [
      [0, condition()],
      [MINUTE, undefined],
      [5 * MINUTE, condition()],
    ],
    90 * MINUTE,
  );
  expect(notes).toEqual([
    ["begun", 30],
    ["over", 120],
    ["begun", 3_630],
  ]);
});

describe("what gets worse", () => {
  test("is told again, after an hour at the earliest", () => {
    expect(
      told(
        [
          [0, condition(1)],
          [10 * MINUTE, condition(7)],
        ],
        120 * MINUTE,
      ).notes,
    ).toEqual([
      ["begun", 30],
      ["worse", 3_630],
    ]);
    expect(
      told(
        [
          [0, condition(7)],
          [10 * MINUTE, condition(3)],
        ],
        120 * MINUTE,
      ).notes,
    ).toEqual([["begun", 30]]);
  });

  test("after it got better is news again", () => {
    const { notes } = told(
      [
        [0, condition(7)],
        [10 * MINUTE, condition(3)],
        [80 * MINUTE, condition(4)],
      ],
      120 * MINUTE,
    );
    expect(notes).toEqual([
      ["begun", 30],
      ["worse", 4_800],
    ]);
  });
});

test("while it cannot be told whether it holds, nothing is told and nothing forgotten", () => {
  expect(
    told(
      [
        [0, condition()],
        [MINUTE, null],
        [20 * MINUTE, condition()],
        [30 * MINUTE, undefined],
      ],
      40 * MINUTE,
    ).notes,
  ).toEqual([
    ["begun", 30],
    ["over", 1_860],
  ]);
});

test("after a restart what was told is not told again, and its end still is", () => {
  const { episodes } = told([[0, condition()]], 10 * MINUTE);
  const stored = JSON.parse(JSON.stringify(episodes));
  const after = told(
    [
      [0, condition()],
      [10 * MINUTE, undefined],
    ],
    20 * MINUTE,
    stored,
  );
  expect(after.notes).toEqual([["over", 660]]);
});

test("a clock that was set back by a day holds nothing back", () => {
  const { episodes } = told(
    [
      [0, condition()],
      [MINUTE, undefined],
    ],
    10 * MINUTE,
  );
  const later: Episodes = { dead_jobs: { toldAt: episodes.dead_jobs!.toldAt! + 24 * 60 * MINUTE } };
  expect(told([[0, condition()]], MINUTE, later).notes).toEqual([["begun", 30]]);
});
