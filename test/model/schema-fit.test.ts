// What a sender's schema may cost: only its own job's time.
import { expect, test } from "vitest";
import { foreignShape } from "../../worker/model/schema-fit.ts";

/** Ten equal alternatives at each of seven levels: a value that fits none is tried in 10^7 ways. */
function ambiguous(levels: number, width: number) {
  const reference = (level: number) => ({ $ref: `#/$defs/level${level}` });
  const array = (items: object) => ({ type: "array", items, minItems: 1, maxItems: 1 });
  const definitions = Array.from({ length: levels }, (_, level) => {
    const items = level + 1 < levels ? reference(level + 1) : { type: "boolean" };
    return [`level${level}`, { anyOf: Array(width).fill(array(items)) }];
  });
  return { ...reference(0), $defs: Object.fromEntries(definitions) };
}

const nested = (depth: number, inside: unknown): unknown =>
  depth === 0 ? inside : [nested(depth - 1, inside)];

test.each([
  ["nested alternatives", ambiguous(7, 10), nested(7, "no boolean")],
  ["a pattern", { type: "string", pattern: "^(a+)+$" }, `${"a".repeat(40)}!`],
])(
  "%s that takes for ever to check fails its job, and the event loop goes on meanwhile",
  async (_, schema, value) => {
    const { check } = await foreignShape(schema);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await expect(check(value)).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringMatching(/^schema: it takes too (long|much memory)/),
    });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10);
  },
);

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
