// What a run may spend on the model, with requests that run at the same time.
import { describe, expect, test } from "vitest";
import type { ChatAnswer } from "../../worker/model/engine-answer.ts";
import { ModelBudget } from "../../worker/model/model-budget.ts";
import { settled } from "../fakes/clock.ts";
import fc from "../properties.ts";

const used = (promptTokens: number, completionTokens: number, text = ""): ChatAnswer => ({
  text,
  cutOff: false,
  tokens: null,
  model: null,
  promptTokens,
  cachedTokens: 0,
  completionTokens,
});
/** Its prompt is estimated at `prompt` tokens. */
const request = (prompt: number, max_tokens: number) => ({
  messages: [{ role: "user" as const, content: "abc".repeat(prompt) }],
  max_tokens,
});
const budgetOf = (tokens: number) => new ModelBudget({ requests: 1_000, tokens });

test("however requests overlap, no more is spent than the budget, and what is given back can be spent", async () => {
  const one = fc.record({
    prompt: fc.nat(50),
    max: fc.nat(50),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 30 }), fc.nat(500), async (all, limit) => {
      const budget = budgetOf(limit);
      let spent = 0;
      let sent = 0;
      const ends = await Promise.allSettled(
        all.map(async ({ prompt, max, share }) =>
          budget.spend(request(prompt, max), async () => {
            sent += 1;
            await settled();
            const answer = Math.floor(max * share);
            spent += prompt + answer;
            return used(prompt, answer);
          }),
        ),
      );
      expect(spent).toBeLessThanOrEqual(limit);
      expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(sent);
      // Nobody is refused while what the others hold may still come back.
      const whole = all.reduce((sum, { prompt, max }) => sum + prompt + max, 0);
      if (whole <= limit) expect(sent).toBe(all.length);
    }),
    { numRuns: 200 },
  );
});

describe("a request that does not fit while others hold their tokens", () => {
  test("waits, and is sent when they gave back enough", async () => {
    const budget = budgetOf(150);
    const first = Promise.withResolvers<ChatAnswer>();
    const order: string[] = [];
    const slow = budget.spend(request(10, 90), () => first.promise);
    const next = budget.spend(request(10, 90), async () => {
      order.push("sent");
      return used(10, 1);
    });
    await settled();
    order.push("answered");
    first.resolve(used(10, 5));
    await Promise.all([slow, next]);
    expect(order).toEqual(["answered", "sent"]);
  });

  test("is refused when they needed too much, and so is everything after it", async () => {
    const budget = budgetOf(150);
    const slow = budget.spend(request(10, 90), async () => used(10, 90));
    const next = budget.spend(request(10, 90), async () => used(10, 1));
    await slow;
    const error = {
      code: "budget_exceeded",
      message: expect.stringContaining("100 so far and up to 100 more"),
    };
    await expect(next).rejects.toMatchObject(error);
    await expect(budget.spend(request(1, 1), async () => used(1, 1))).rejects.toMatchObject(error);
    expect(() => budget.ask()).toThrow(expect.objectContaining(error));
  });

  test("gets the tokens of one that failed", async () => {
    const budget = budgetOf(100);
    await expect(budget.spend(request(10, 90), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(budget.spend(request(10, 90), async () => used(10, 90))).resolves.toBeDefined();
  });
});

test("an engine that counts no tokens is charged by the length of its texts", async () => {
  const budget = budgetOf(100);
  await budget.spend(request(30, 40), async () => used(0, 0, "abc".repeat(40)));
  await expect(budget.spend(request(30, 1), async () => used(0, 0))).rejects.toMatchObject({
    message: expect.stringContaining("70 so far"),
  });
});
