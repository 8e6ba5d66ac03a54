import { describe, expect, test } from "vitest";
import {
  completionOf,
  needsWalk,
  sharpened,
} from "../../../../worker/engine/backends/llama-node/complete.ts";
import { Gate } from "../../../../worker/engine/backends/llama-node/runner.ts";
import { SlotStats, sequenceOf } from "../../../../worker/engine/backends/llama-node/slot-use.ts";
import { generation, picture, says, talk } from "./native/llama-node.ts";

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("while the library looks at a picture", () => {
  const arrivals = (gate: Gate) => {
    const inside: string[] = [];
    const come = (name: string, isPicture: boolean, signal = never) =>
      gate.enter(isPicture, signal).then(
        () => void inside.push(name),
        () => void inside.push(`${name} gave up`),
      );
    return { inside, come };
  };

  test("nobody speaks to it; texts go in before the next picture", async () => {
    const gate = new Gate();
    const { inside, come } = arrivals(gate);
    await come("text", false);
    await come("picture", true);
    const rest = [come("second picture", true), come("second text", false), come("third text", false)];
    await settled();
    expect(inside).toEqual(["text", "picture"]);
    gate.leave();
    await Promise.all(rest);
    expect(inside.slice(2)).toEqual(["second text", "third text", "second picture"]);
    const last = come("last text", false);
    gate.leave();
    await last;
    expect(inside.at(-1)).toBe("last text");
  });

  test("who goes away while waiting holds nobody up", async () => {
    const gate = new Gate();
    const { inside, come } = arrivals(gate);
    const gone = new AbortController();
    await come("picture", true);
    const rest = [come("second picture", true, gone.signal), come("third picture", true)];
    gone.abort();
    await settled();
    gate.leave();
    await Promise.all(rest);
    expect(inside).toEqual(["picture", "second picture gave up", "third picture"]);
  });
});

describe("the slots, seen from outside", () => {
  const red = sequenceOf([[1, 2], { sha256: "aaaaaaaa", length: 4 }, [3, 4]]);
  const text = sequenceOf([[1, 2, 3]]);

  test("are taken in the order in which they were freed, and a picture may still be there", () => {
    const seats = new SlotStats(2);
    const [first, second] = [seats.take(red), seats.take(text)];
    expect(seats.warm(red)).toBe(0);
    seats.free(second);
    seats.free(first);
    expect(seats.warm(red)).toBe(0);
    seats.take(text);
    expect(seats.warm(red)).toBe(7);
    expect(seats.warm(text)).toBe(0);
  });

  test("say what they do and hold", () => {
    const seats = new SlotStats(2);
    const seat = seats.take(text);
    expect(seats.all.map(({ state, tokens }) => [state, tokens])).toEqual([
      ["prefill", 3],
      ["idle", 0],
    ]);
    seats.said(seat);
    expect([seat.state, seat.tokens]).toEqual(["decode", 4]);
    seats.free(seat);
    expect([seat.state, seat.tokens]).toEqual(["idle", 4]);
  });

  test("may be fewer than requests, when one was cut off and the library is not done with it", () => {
    const seats = new SlotStats(1);
    const [seat, extra] = [seats.take(text), seats.take(red)];
    seats.free(extra);
    expect(seats.all).toEqual([seat]);
    seats.free(seat);
    expect(seats.take(text)).toBe(seat);
  });
});

test("a flattened distribution is made whole again", () => {
  const real = [0.6, 0.3, 0.0999, 0.0001];
  const roots = real.map((p) => p ** (1 / 8));
  const sum = roots.reduce((a, b) => a + b);
  const flat = roots.map((root, token) => ({ token, probability: root / sum }));
  for (const [at, { probability }] of sharpened(flat).entries())
    expect(probability).toBeCloseTo(real[at]!, 9);
});

describe("how a request is put to the library", () => {
  const prompt = { text: "x", images: [], stop: ["<end>"] };
  const put = (sampling: object, more: object = {}) =>
    completionOf({
      generation: generation({ text: "x" }, { sampling }),
      prompt,
      room: 99,
      grammar: undefined,
      close: undefined,
      ...more,
    });

  test.each<[string, object, object]>([
    ["greedy takes the likeliest only", { temperature: 0 }, { temperature: 0, top_k: 1, penalty_last_n: 0 }],
    [
      "drawn as asked for",
      { temperature: 0.7, topK: 5, topP: 0.9 },
      { temperature: 0.7, top_k: 5, top_p: 0.9 },
    ],
    [
      "a repetition counts for a while",
      { repetitionPenalty: 1.2 },
      { penalty_repeat: 1.2, penalty_last_n: 64 },
    ],
    [
      "a frequency for all of the answer",
      { frequencyPenalty: 0.5 },
      { penalty_freq: 0.5, penalty_last_n: 99 },
    ],
    ["a presence too", { presencePenalty: -1 }, { penalty_present: -1, penalty_last_n: 99 }],
  ])("%s", (_, sampling, expected) => {
    expect(put(sampling)).toMatchObject(expected);
  });

  test("it ends at the template's marks and where the thinking closes", () => {
    expect(put({}, { close: "</think>" }).stop).toEqual(["<end>", "</think>"]);
  });

  test("token by token only where the library cannot do it alone", async () => {
    const shown = talk(says("user", await picture("red"), "?"));
    const walks = [
      generation({ text: "x" }),
      generation({ text: "x" }, { topLogprobs: 0 }),
      generation({ text: "x" }, { sampling: { logitBias: new Map([[1, 1]]) } }),
      generation({ text: "x" }, { sampling: { frequencyPenalty: 1 } }),
      generation(shown),
      generation(shown, { sampling: { frequencyPenalty: 1 } }),
    ].map(needsWalk);
    expect(walks).toEqual([false, true, true, false, false, true]);
  });
});
