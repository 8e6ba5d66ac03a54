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

test.each([
  [
    "draft 7's tuples",
    { type: "array", items: [{ const: "x" }, { const: "y" }], additionalItems: false },
    ["x", "y"],
    ["y", "x"],
  ],
  ["percent-encoded references", { $ref: "#/$defs/My%20Type", $defs: { "My Type": { const: 1 } } }, 1, 2],
  ["anchors", { $ref: "#one", definitions: { a: { $anchor: "one", const: 1 } } }, 1, 2],
  ["addresses of its own", { $id: "https://x/y", $ref: "z", $defs: { z: { $id: "z", const: 1 } } }, 1, 2],
  [
    "a draft's own name",
    { $schema: "http://json-schema.org/draft-04/schema#", minimum: 1, exclusiveMinimum: true },
    2,
    1,
  ],
  ["formats", { format: "date-time" }, "2026-05-01T10:00:00+09:00", "tomorrow"],
  ["formats that nobody knows", { format: "phone-of-my-aunt" }, "x", undefined],
  ["uniqueItems", { uniqueItems: true }, [1, 2], [1, 1]],
] as [string, Record<string, unknown>, unknown, unknown][])(
  "a sender's schema may use %s",
  async (_, schema, good, bad) => {
    const shape = await foreignShape(schema);
    expect(await shape.check(good)).toEqual({ fits: true, value: good });
    if (bad !== undefined) expect(await shape.check(bad)).toMatchObject({ fits: false });
    // Engines that know one draft only get that one.
    expect(JSON.stringify(shape.schema)).not.toMatch(/"(\$id|\$anchor|additionalItems|\$schema)"/);
  },
);
