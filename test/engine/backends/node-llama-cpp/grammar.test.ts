import { getLlama, type LlamaGrammar } from "node-llama-cpp";
import { beforeAll, describe, expect, test } from "vitest";
import { fitting } from "../../../../worker/engine/backends/node-llama-cpp/grammar.ts";
import { gbnf } from "../../../../worker/engine/generation/grammar.ts";
import { boundOf } from "../../../../worker/engine/generation/grammar-bound.ts";
import fc from "../../../properties.ts";
import { GbnfStacks } from "../../generation/gbnf-stacks.ts";
import { randomGrammar, randomInput } from "../../generation/random-grammars.ts";

type Native = LlamaGrammar & { _testText(text: string): boolean };

describe("llama.cpp", () => {
  let create: (grammar: string) => Promise<Native>;
  beforeAll(async () => {
    const llama = await getLlama({ build: "never", gpu: false, progressLogs: false });
    create = async (grammar) => (await llama.createGrammar({ grammar })) as Native;
  });

  test("allows what our count of its stacks allows", async () => {
    await fc.assert(
      fc.asyncProperty(randomGrammar, fc.infiniteStream(fc.nat()), async (grammar, dice) => {
        if (typeof boundOf(grammar) !== "number") return;
        const text = gbnf(grammar);
        const native = await create(text);
        const input = randomInput(new GbnfStacks(text), dice);
        for (const part of [input, input.slice(0, -1), `${input}a`])
          expect([part, native._testText(part)]).toEqual([part, new GbnfStacks(text).accepts(part)]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("a token", () => {
  const candidates = Array.from({ length: 2_000 }, (_, token) => ({ token, probability: 1 / 2_000 }));

  test("is one of the likeliest that fit, or else the first that does", () => {
    expect(fitting(candidates, ({ token }) => token % 500 === 3)).toEqual([candidates[3], candidates[503]]);
    expect(fitting(candidates, ({ token }) => token > 1_000)).toEqual([candidates[1_001]]);
  });

  test("for which the grammar takes too long fails its request", () => {
    let [ms, tried] = [0, 0];
    const fits = () => {
      tried++;
      ms += 10;
      return false;
    };
    expect(() => fitting(candidates, fits, () => ms)).toThrow(
      expect.objectContaining({ code: "invalid_input" }),
    );
    expect(tried).toBe(101);
  });
});
