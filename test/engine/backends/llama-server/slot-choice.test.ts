import { describe, expect, test } from "vitest";
import {
  chooseSlot,
  type Slot,
  SlotChoice,
} from "../../../../worker/engine/backends/llama-server/slot-choice.ts";

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);

describe("which slot a request goes to", () => {
  const slot = (tokens: number[], more: Partial<Slot> = {}): Slot => {
    return { tokens, busy: false, usedAt: 0, conversation: undefined, ...more };
  };
  const prompt = numbers(0, 100);
  test.each<[string, Slot[], number | undefined]>([
    ["to the one that has most of it", [slot(numbers(0, 20)), slot(numbers(0, 60)), slot([])], 1],
    ["never to a busy one", [slot(numbers(0, 60), { busy: true }), slot(numbers(0, 20))], 1],
    ["nowhere when all are busy", [slot([], { busy: true })], undefined],
    [
      "to the one whose loss costs least, of those with about as much",
      [slot([...numbers(0, 60), ...numbers(500, 300)]), slot(numbers(0, 50))],
      1,
    ],
    ["to an empty one before one that holds something else", [slot(numbers(500, 30)), slot([])], 1],
    ["to the one that waited longest, of equals", [slot([], { usedAt: 7 }), slot([], { usedAt: 3 })], 1],
    [
      "not to another's conversation",
      [slot(numbers(0, 10), { conversation: "b" }), slot(numbers(500, 90))],
      1,
    ],
    ["to its own conversation", [slot(numbers(0, 60), { conversation: "a" }), slot(numbers(0, 50))], 0],
  ])("%s", (_, slots, at) => expect(chooseSlot(slots, prompt, "a")).toBe(at));
});

test("any free slot is taken when prompts do not decide, and llama-server chooses it", async () => {
  const signal = new AbortController().signal;
  const prompt = numbers(0, 100);
  const choice = new SlotChoice(2, false);
  const taken = [await choice.take(prompt, "a", signal), await choice.take(prompt, "b", signal)];
  for (const slot of taken) slot.holds(prompt);
  expect(taken.map(({ index }) => index)).toEqual([-1, -1]);
  expect(choice.state().map(({ state }) => state)).toEqual(["prefill", "prefill"]);
  taken[0]!.leave();
  expect(choice.warmTokens(prompt)).toBe(0);
  const again = await choice.take(prompt, "c", signal);
  expect([again.index, again.common]).toEqual([-1, 0]);
});
