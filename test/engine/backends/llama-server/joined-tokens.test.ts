// Tokens that llama-server reports as one: which of them were chosen, where that follows from the character's bytes.
import { describe, expect, test } from "vitest";
import {
  type Drawn,
  type Listed,
  type Piece,
  splitJoined,
} from "../../../../worker/engine/backends/llama-server/joined-tokens.ts";
import { GREEDY } from "../../../../worker/engine/generation/backend.ts";

const listed = (id: number, bytes: number[], logprob: number): Listed => ({ id, token: "?", bytes, logprob });
/** 牛 is e7 89 9b. */
const COW: Piece = { token: { text: " 牛", logprob: -0.5, top: [] }, id: 9, count: 3 };
const SPACE_E7 = listed(1, [0x20, 0xe7], -0.7);
const SPACE = listed(2, [0x20], -0.9);
const LETTER = listed(3, [0x61], -0.1);
const H89 = listed(4, [0x89], -0.2);
const E7_89 = listed(5, [0xe7, 0x89], -0.3);

describe("tokens of a character that come as one", () => {
  async function split(piece: Piece, lists: Record<string, Listed[]>, drawn: Partial<Drawn> = {}) {
    const asked: string[] = [];
    const result = await splitJoined(
      [piece],
      [7],
      { sampling: GREEDY, hasGrammar: false, topLogprobs: 1, ...drawn },
      async (after) => {
        asked.push(after.join(" "));
        return lists[after.join(" ")] ?? [];
      },
    );
    return { ...result, places: asked };
  }
  const lists = { "7": [LETTER, SPACE_E7, SPACE], "7 1": [H89, LETTER], "7 2": [E7_89] };

  test("are the likeliest that spell it, in a greedy answer", async () => {
    const { tokens, ids, asked, places } = await split(COW, lists);
    expect(tokens).toEqual([
      { text: "", bytes: [0x20, 0xe7], logprob: -0.7, top: [{ text: "a", logprob: -0.1 }] },
      { text: "", bytes: [0x89], logprob: -0.2, top: [expect.objectContaining({ bytes: [0x89] })] },
      { text: " 牛", bytes: [0x9b], logprob: -0.5, top: [] },
    ]);
    expect([ids, asked, places]).toEqual([[7, 1, 4, 9], 2, ["7", "7 1"]]);
  });

  test("are the ones that a bias made likelier", async () => {
    const sampling = { ...GREEDY, logitBias: new Map([[2, 1]]) };
    expect((await split(COW, lists, { sampling })).ids).toEqual([7, 2, 5, 9]);
  });

  test("stay one where two may have been drawn, or none fits", async () => {
    const sampling = { ...GREEDY, temperature: 1 };
    for (const stays of [await split(COW, lists, { sampling }), await split(COW, { "7": [LETTER] })])
      expect([stays.tokens, stays.ids]).toEqual([[COW.token], [7]]);
  });

  test("are told apart where only one may have been drawn", async () => {
    const sampling = { ...GREEDY, temperature: 1 };
    const only = { "7": [LETTER, SPACE_E7], "7 1": [H89] };
    expect((await split(COW, only, { sampling })).ids).toEqual([7, 1, 4, 9]);
  });

  test("are reported where the answer is cut in the middle, but not under a grammar, which may forbid the likeliest", async () => {
    const cut: Piece = { token: { text: "" }, id: undefined, count: 1 };
    const begun = { "7": [SPACE_E7] };
    expect((await split(cut, begun)).tokens).toEqual([expect.objectContaining({ bytes: [0x20, 0xe7] })]);
    expect((await split(cut, begun, { hasGrammar: true })).tokens).toEqual([]);
  });
});
