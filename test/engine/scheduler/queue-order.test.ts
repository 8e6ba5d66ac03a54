import { describe, expect, test } from "vitest";
import { INTERACTIVE, nextTurn, type Waiter } from "../../../worker/engine/scheduler/queue-order.ts";
import fc from "../../properties.ts";

const waiter = (rank: number, { warm = 0, passedOver = 0 } = {}): Waiter => {
  return { rank, passedOver, warmTokens: () => warm };
};
const person = (more = {}) => waiter(INTERACTIVE, more);

describe("who is next", () => {
  test.each([
    ["the only one", [waiter(0)], 0],
    ["the oldest of equals", [waiter(5), waiter(5)], 0],
    ["a person before every job", [waiter(9), person()], 1],
    ["the job of the higher priority", [waiter(3), waiter(7), waiter(7)], 1],
    ["of one priority the warmest", [waiter(5), waiter(5, { warm: 200 }), waiter(5, { warm: 100 })], 1],
    ["warmth does not go before priority", [waiter(5, { warm: 900 }), waiter(6)], 1],
    ["the overdue one before a person", [waiter(0), waiter(0, { passedOver: 8 }), person()], 1],
    ["nobody is overdue a turn too early", [waiter(0, { passedOver: 7 }), person()], 1],
  ])("%s", (_, waiting, at) => {
    expect(nextTurn(waiting, { slots: 2, afterOverdue: false }).at).toBe(at);
  });

  test("after an overdue one a person has the next turn", () => {
    const waiting = [waiter(0, { passedOver: 99 }), person()];
    expect(nextTurn(waiting, { slots: 1, afterOverdue: false })).toEqual({ at: 0, overdue: true });
    expect(nextTurn(waiting, { slots: 1, afterOverdue: true })).toEqual({ at: 1, overdue: false });
  });

  test("a line of a thousand asks no more than a part of them how warm they are", () => {
    let asked = 0;
    const warmTokens = () => ++asked;
    nextTurn(
      Array.from({ length: 1_000 }, () => ({ rank: 5, passedOver: 0, warmTokens })),
      { slots: 8, afterOverdue: false },
    );
    expect(asked).toBeLessThan(200);
  });
});

/** Plays turns in which a new one comes for each that is let in; says after how many turns the watched one was let in. */
function turnsUntil(watched: Waiter, others: Waiter[], slots: number, next: () => Waiter): number {
  const waiting = [watched, ...others];
  let afterOverdue = false;
  for (let turn = 1; ; turn++) {
    const { at, overdue } = nextTurn(waiting, { slots, afterOverdue });
    afterOverdue = overdue;
    for (const older of waiting.slice(0, at)) older.passedOver++;
    if (waiting.splice(at, 1)[0] === watched) return turn;
    waiting.push(next());
  }
}

describe("nobody starves", () => {
  test("a job of the lowest priority under an endless stream of people", () => {
    expect(turnsUntil(waiter(0), [person()], 2, person)).toBe(9);
  });

  test("whatever comes, the oldest is let in within four turns a slot and one", () => {
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
            return waiter(rank, { warm });
          };
          const turns = turnsUntil(waiter(first.rank, first), more.map(next), slots, next);
          expect(turns).toBeLessThanOrEqual(4 * slots + 1);
        },
      ),
    );
  });

  test("a person does not wait for a heap of overdue jobs", () => {
    const heap = Array.from({ length: 50 }, () => waiter(0, { passedOver: 99 }));
    expect(turnsUntil(person(), heap, 8, () => waiter(0))).toBeLessThanOrEqual(2);
  });
});
