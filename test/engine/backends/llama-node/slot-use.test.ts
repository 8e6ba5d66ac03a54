import { expect, test } from "vitest";
import { SlotUses } from "../../../../worker/engine/backends/llama-node/slot-use.ts";

const red = { tokens: 8, pictures: { key: "red", ends: [6] } };
const text = { tokens: 3, pictures: { key: "", ends: [] } };

test("slots are taken in the order in which they were freed, and pictures may still be there", () => {
  const slots = new SlotUses(2);
  const [first, second] = [slots.take(red), slots.take(text)];
  expect(slots.warmTokens(red)).toBe(0);
  slots.free(second);
  slots.free(first);
  expect(slots.warmTokens(red)).toBe(0);
  slots.take(text);
  expect(slots.warmTokens(red)).toBe(6);
  expect(slots.warmTokens(text)).toBe(0);
});

test("a slot says what it does and how many tokens it holds", () => {
  const slots = new SlotUses(2);
  const slot = slots.take(text);
  expect(slots.all.map(({ state, tokens }) => [state, tokens])).toEqual([
    ["prefill", 3],
    ["idle", 0],
  ]);
  slots.decoded(slot);
  expect([slot.state, slot.tokens]).toEqual(["decode", 4]);
  slots.free(slot);
  expect([slot.state, slot.tokens]).toEqual(["idle", 4]);
});

test("there may be more requests than slots, when the library has not finished a cancelled one", () => {
  const slots = new SlotUses(1);
  const [slot, extra] = [slots.take(text), slots.take(red)];
  slots.free(extra);
  expect(slots.all).toEqual([slot]);
  slots.free(slot);
  expect(slots.take(text)).toBe(slot);
});
