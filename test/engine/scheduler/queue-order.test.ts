import { describe, expect, test } from "vitest";
import { chooseNext, INTERACTIVE, type Waiting } from "../../../worker/engine/scheduler/queue-order.ts";
import fc from "../../properties.ts";

const request = (rank: number, { warm = 0, passedOver = 0 } = {}): Waiting => {
  return { rank, passedOver, warmTokens: () => warm };
};
const interactive = (more = {}) => request(INTERACTIVE, more);

describe("next is", () => {
  test.each([
    ["the only one", [request(0)], 0],
    ["the oldest of equals", [request(5), request(5)], 0],
    ["an interactive request before every job", [request(9), interactive()], 1],
    ["the job of the higher priority", [request(3), request(7), request(7)], 1],
    ["the warmest of one priority", [request(5), request(5, { warm: 200 }), request(5, { warm: 100 })], 1],
    ["a higher priority before a warmer prompt", [request(5, { warm: 900 }), request(6)], 1],
    [
      "an overdue job before an interactive request",
      [request(0), request(0, { passedOver: 8 }), interactive()],
      1,
    ],
    ["no job that is not overdue yet", [request(0, { passedOver: 7 }), interactive()], 1],
  ])("%s", (_, waiting, at) => {
    expect(chooseNext(waiting, { slots: 2, lastWasOverdue: false }).index).toBe(at);
  });

  test("after an overdue job an interactive request is next", () => {
    const waiting = [request(0, { passedOver: 99 }), interactive()];
    expect(chooseNext(waiting, { slots: 1, lastWasOverdue: false })).toEqual({ index: 0, isOverdue: true });
    expect(chooseNext(waiting, { slots: 1, lastWasOverdue: true })).toEqual({ index: 1, isOverdue: false });
  });

  test("only a part of a thousand waiting requests is asked how warm they are", () => {
    let asked = 0;
    const warmTokens = () => ++asked;
    chooseNext(
      Array.from({ length: 1_000 }, () => ({ rank: 5, passedOver: 0, warmTokens })),
      { slots: 8, lastWasOverdue: false },
    );
    expect(asked).toBeLessThan(200);
  });
});

/** Frees one slot after the other, with a new request for each, and says at which free slot the watched request was chosen. */
function slotsUntil(watched: Waiting, others: Waiting[], slots: number, next: () => Waiting): number {
  const waiting = [watched, ...others];
  let lastWasOverdue = false;
  for (let freed = 1; ; freed++) {
    const { index, isOverdue } = chooseNext(waiting, { slots, lastWasOverdue });
    lastWasOverdue = isOverdue;
    for (const older of waiting.slice(0, index)) older.passedOver++;
    if (waiting.splice(index, 1)[0] === watched) return freed;
    waiting.push(next());
  }
}

describe("no request waits for ever", () => {
  test("a job of the lowest priority under an endless stream of interactive requests", () => {
    expect(slotsUntil(request(0), [interactive()], 2, interactive)).toBe(9);
  });

  test("the oldest, after four free slots for each slot and one more at most", () => {
    const any = fc.record({ rank: fc.nat(INTERACTIVE), warm: fc.nat(1_000) });
    fc.assert(
      fc.property(
        any,
        fc.array(any, { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 8 }),
        (first, more, slots) => {
          let at = 0;
          const next = () => {
            const { rank, warm } = more[at++ % more.length]!;
            return request(rank, { warm });
          };
          const freed = slotsUntil(request(first.rank, first), more.map(next), slots, next);
          expect(freed).toBeLessThanOrEqual(4 * slots + 1);
        },
      ),
    );
  });

  test("an interactive request does not wait for many overdue jobs", () => {
    const overdue = Array.from({ length: 50 }, () => request(0, { passedOver: 99 }));
    expect(slotsUntil(interactive(), overdue, 8, () => request(0))).toBeLessThanOrEqual(2);
  });
});
