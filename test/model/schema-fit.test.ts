// What a sender's schema may cost: only its own job's time.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { foreignShape } from "../../worker/model/schema-fit.ts";

/** How often the event loop went round while the promise was pending. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let [turns, isOver] = [0, false];
  const ended = work
    .catch(() => {})
    .finally(() => {
      isOver = true;
    });
  for (; !isOver; turns++) await sleep(1);
  await ended;
  return turns;
}

const references = (levels: number) => {
  const both = (level: number) => ({ anyOf: Array(2).fill({ $ref: `#/$defs/${level + 1}` }) });
  const levelsOf = Array.from({ length: levels }, (_, level) => [level, both(level)]);
  return { $defs: { ...Object.fromEntries(levelsOf), [levels]: { type: "null" } }, $ref: "#/$defs/0" };
};

/** The work is done in a thread. */
const MANY_TURNS = 10;

test.each([
  ["a pattern that takes for ever", { pattern: "^(a+)+$" }, `${"a".repeat(60)}!`],
  ["references that double at each of 40 levels", references(40), 1],
])("%s is ended, and the event loop stays free meanwhile", async (_, schema, value) => {
  const shape = await foreignShape(schema);
  const checked = Promise.resolve(shape.check(value));
  expect(await turnsDuring(checked)).toBeGreaterThan(MANY_TURNS);
  await expect(checked).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringMatching(/too (long|much memory)/),
  });
});

test("a schema that takes long to compile, and a value that takes long to check, are checked in the end", async () => {
  const anyOf = Array.from({ length: 400 }, (_, n) => ({ type: "string", minLength: n + 1 }));
  const compiling = foreignShape({ anyOf });
  expect(await turnsDuring(compiling)).toBeGreaterThan(MANY_TURNS);
  const shape = await compiling;
  expect(await shape.check("a")).toEqual({ fits: true, value: "a" });
  expect(await shape.check(1)).toMatchObject({
    fits: false,
    reason: expect.stringContaining("must be string"),
  });
});

test("a value that is nested more deeply than the stack allows does not fit, and is no error of the handler", async () => {
  const shape = await foreignShape({ type: "array", items: { $ref: "#" } });
  const deep = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
  expect(await shape.check(deep)).toEqual({
    fits: false,
    reason: "the value is nested too deeply to be checked",
  });
});

test("the next job's schema is checked as if nothing had happened", async () => {
  const hostile = await foreignShape({ type: "string", pattern: "^(a+)+$" });
  const honest = await foreignShape({ type: "object", required: ["eggs"] });
  const [bad, good, wrong] = await Promise.allSettled([
    hostile.check(`${"a".repeat(40)}!`),
    honest.check({ eggs: 2 }),
    honest.check([]),
  ]);
  expect(bad.status).toBe("rejected");
  expect(good).toMatchObject({ value: { fits: true } });
  expect(wrong).toMatchObject({ value: { fits: false, reason: expect.stringContaining("must be object") } });
});
