// After deaths of the engine: which jobs go on, which wait, and in which order.
import { describe, expect, test } from "vitest";
import { type Situation, type Suspect, Suspects } from "../../worker/runner/suspects.ts";

const LOAD_MS = 4_000;
const job = (id: string, kind = "work", beside = 0, alone = 0): Suspect => ({
  id,
  kind,
  deaths: { beside, alone },
});

/** Each death has the jobs that were in the engine, with the deaths that they have after it; the engine is back after 4 s. */
function after(...deaths: Suspect[][]) {
  const suspects = new Suspects();
  let now = 0;
  for (const jobs of deaths) {
    now += 10_000;
    suspects.died(now);
    for (const one of jobs) suspects.wasThere(one, now);
  }
  const backAt = now + LOAD_MS;
  const at = (ms: number, turnSince: number | null = null): Situation => ({
    turnSince,
    backAt,
    now: backAt + ms,
  });
  return { suspects, at };
}
/** When the pause after the second death in a row is over. */
const LATER = 6 * LOAD_MS;

describe("a job", () => {
  const two = [[job("a", "odd", 1)], [job("b", "odd", 1), job("c", "work", 1)]];
  test.each<[string, Suspect[][], Suspect, string]>([
    ["goes on when nothing has happened", [], job("x"), "beside"],
    [
      "that was there at one death goes on: it may have been an accident",
      [two[0]!],
      job("a", "odd", 1),
      "beside",
    ],
    ["that was not there goes on after deaths in a row", two, job("x"), "beside"],
    ["that was there is held apart after deaths in a row", two, job("a", "odd", 1), "held"],
    ["that was there at two deaths is held apart, in whichever worker", [], job("x", "work", 2), "alone"],
    ["of a kind that was there at two deaths runs alone", two, job("x", "odd"), "alone"],
    ["of another kind goes on beside that", two, job("x", "work"), "beside"],
  ])("%s", (_, deaths, one, expected) => {
    const { suspects, at } = after(...deaths);
    expect(suspects.judge(one, at(0)).is).toBe(expected);
  });
});

describe("suspects", () => {
  const crowd = [
    ["p1", "p2"],
    ["p3", "h1", "h2"],
  ].map((names) => names.map((name) => job(name, name.startsWith("h") ? "work" : "odd", 1)));
  const [p1, p2, h1, h2] = [
    job("p1", "odd", 1),
    job("p2", "odd", 1),
    job("h1", "work", 1),
    job("h2", "work", 1),
  ];

  test("wait in a pause six times as long as the engine was away, and then run alone, one by one", () => {
    const { suspects, at } = after(...crowd);
    expect(suspects.judge(p1, at(LATER - 1)).is).toBe("held");
    const { suspects: others, at: later } = after([p1], [job("p1", "odd", 1)]);
    expect(others.judge(p1, later(LATER)).is).toBe("alone");
    expect(others.judge(p2, later(LATER, later(LATER - 7_000).now))).toEqual({ is: "held", ms: 7_000 });
  });

  test("wait longer after each death in a row, up to fifty times as long as the engine was away", () => {
    for (const [deaths, factor] of [
      [3, 12],
      [5, 48],
      [6, 50],
      [9, 50],
    ] as const) {
      const { suspects, at } = after(...Array.from({ length: deaths }, () => [p1]));
      expect(suspects.judge(p1, at(factor * LOAD_MS - 1)).is).toBe("held");
      expect(suspects.judge(p1, at(factor * LOAD_MS)).is).toBe("alone");
    }
  });

  test("of kinds with a success since go first, without the pause", () => {
    const { suspects, at } = after(...crowd);
    suspects.succeeded(job("x"));
    expect(suspects.judge(p1, at(0)).is).toBe("held");
    expect(suspects.judge(h1, at(0))).toEqual({ is: "alone" });
    suspects.succeeded(h1);
    expect(suspects.judge(h2, at(0))).toEqual({ is: "alone" });
  });

  test("of a kind of which one is proven to kill the engine keep the pause, whatever succeeds", () => {
    const { suspects, at } = after(...crowd, [job("h1", "work", 1, 2)]);
    suspects.succeeded(job("x"));
    expect(suspects.judge(h2, at(0)).is).toBe("held");
  });

  test("of the latest death go first: there the crowd was thinner", () => {
    const { suspects, at } = after([job("p1", "odd", 1)], [job("p2", "odd", 1)]);
    const both = at(LATER);
    suspects.judge(p1, at(LATER - 2_000));
    suspects.judge(p2, at(LATER - 2_000));
    expect(suspects.judge(p1, both).is).toBe("held");
    expect(suspects.judge(p2, both).is).toBe("alone");
  });

  test("do not wait for one that has gone to another worker", () => {
    const { suspects, at } = after(...crowd);
    expect(suspects.judge(p2, at(LATER + 60_000)).is).toBe("alone");
  });

  test("are suspects no longer when the engine lived for five minutes", () => {
    const { suspects, at } = after(...crowd);
    expect(suspects.judge(p1, at(300_000)).is).toBe("beside");
  });
});

test("a death counts once for its kind, however many of its jobs were there", () => {
  const { suspects, at } = after([], [job("a", "odd", 1), job("b", "odd", 1), job("c", "odd", 1)]);
  expect(suspects.judge(job("x", "odd"), at(0)).is).toBe("beside");
});
