import { describe, expect, test } from "vitest";
import {
  chooseStart,
  cutOf,
  type FreeSlot,
  giveWay,
  nearest,
} from "../../../worker/engine/prefix-cache/placement.ts";

const has = (holder: string, shared: number, ready = shared) => ({ holder, shared, ready });

describe("a prompt starts", () => {
  test.each([
    ["from nothing when nobody has any of it", 0, [], { way: "own" }],
    ["from what its slot has, when nobody has more", 80, [has("a", 80)], { way: "own" }],
    ["from what its slot has, when others have hardly more", 80, [has("a", 100)], { way: "own" }],
    [
      "with a copy from whoever has most",
      0,
      [has("a", 40), has("b", 90)],
      { way: "copy", from: "b", length: 90 },
    ],
    ["by waiting for who is about to have it", 0, [has("a", 500, 0)], { way: "wait", for: "a", length: 500 }],
    [
      "with a copy, when waiting brings hardly more",
      0,
      [has("a", 500, 0), has("b", 490)],
      { way: "copy", from: "b", length: 490 },
    ],
    [
      "by waiting, when that brings clearly more than a copy",
      0,
      [has("a", 500, 0), has("b", 400)],
      { way: "wait", for: "a", length: 500 },
    ],
    ["without waiting for a few tokens", 0, [has("a", 31, 0)], { way: "own" }],
  ])("%s", (_, own, others, start) => {
    expect(chooseStart(own, others)).toEqual(start);
  });

  test.each([
    ["where many part, when two share a little more by chance", 503, 500, 500],
    ["where two part, when that is far from where many do", 900, 500, 900],
    ["where two part, when nothing is common to many", 503, 0, 503],
    ["never behind where two part", 400, 500, 400],
  ])("cut %s", (_, shared, common, cut) => {
    expect(cutOf(shared, common)).toBe(cut);
  });
});

describe("a slot is chosen", () => {
  const slot = (more: Partial<FreeSlot>): FreeSlot => {
    return { own: 0, tokens: 100, reserved: false, usedAt: 0, ...more };
  };
  test.each([
    ["none when none is free", [], -1, -1],
    ["that has most of the prompt", [slot({ own: 5 }), slot({ own: 9, usedAt: 1 }), slot({})], 1, 0],
    [
      "that has the least to lose, of those with about as much",
      [slot({ own: 60, tokens: 360 }), slot({ own: 50, tokens: 50 })],
      1,
      0,
    ],
    ["that is empty rather than full of something else", [slot({}), slot({ tokens: 0, usedAt: 7 })], 1, 1],
    ["that nobody goes on in", [slot({ reserved: true }), slot({ usedAt: 7 })], 1, 1],
    ["that was idle the longest", [slot({ usedAt: 5 }), slot({ usedAt: 2 }), slot({ usedAt: 9 })], 1, 1],
  ])("%s", (_, free, near, way) => {
    expect([nearest(free), giveWay(free)]).toEqual([near, way]);
  });
});
