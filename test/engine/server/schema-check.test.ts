// What a grammar cannot enforce is checked when the answer is there: the model is asked once more, and then the client is told.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { collect, post, user } from "../running.ts";
import { start } from "./start.ts";

const format = (schema: object) => ({
  response_format: { type: "json_schema", json_schema: { name: "x", schema } },
});
const MONTH = { type: "object", properties: { month: { type: "string", pattern: "^\\d{4}-\\d{2}$" } } };

async function ask(answers: unknown[], fields: object) {
  const engine = await start({ rules: [{ when: "x", answer: answers }] });
  const { status, body } = await post(engine.url, JSON.stringify({ messages: user("x"), ...fields }));
  return { status, body, content: body.choices?.[0].message.content };
}

describe("an answer that does not fit", () => {
  test("is asked for once more, and the usage counts both", async () => {
    const { content, body } = await ask(['{"month":"May"}', '{"month":"2026-05"}'], format(MONTH));
    expect(content).toBe('{"month":"2026-05"}');
    expect(body.usage.completion_tokens).toBe(2);
  });

  test("twice is an error that says why", async () => {
    const { status, body } = await ask(['{"month":"May"}', '{"month":"June"}'], format(MONTH));
    expect([status, body.error.code]).toEqual([422, "answer_invalid"]);
    expect(body.error.message).toContain("must match pattern");
  });

  test("is left to a client that checks it itself", async () => {
    const { content } = await ask(['{"month":"May"}'], { ...format(MONTH), check_schema: false });
    expect(content).toBe('{"month":"May"}');
  });

  test("and was cut off is returned as it is, because its finish_reason says so", async () => {
    const { body } = await ask(['"May June"'], {
      ...format({ type: "string", pattern: "^x" }),
      max_tokens: 1,
    });
    expect(body.choices[0].finish_reason).toBe("length");
  });

  test("ends a stream with an error in place of [DONE]", async () => {
    const engine = await start({ rules: [{ when: "x", answer: '{"month":"May"}' }] });
    const ask = { model: "scripted", messages: user("x"), ...format(MONTH), stream: true } as const;
    const stream = await engine.client.chat.completions.create(ask as never);
    await expect(collect(stream as unknown as AsyncIterable<unknown>)).rejects.toMatchObject({
      code: "answer_invalid",
    });
  });
});

test.each([
  ["uniqueItems", { type: "array", uniqueItems: true }, "[1,1]", "[1,2]"],
  ["multipleOf", { type: "integer", multipleOf: 5 }, "3", "10"],
  ["a format", { type: "string", format: "date" }, '"2026-02-30"', '"2026-02-28"'],
  ["an address", { type: "string", format: "email" }, '"me"', '"me@example.com"'],
  ["not", { not: { type: "null" } }, "null", "1"],
  ["contains", { type: "array", contains: { const: 7 } }, "[1]", "[7]"],
  ["minProperties", { type: "object", minProperties: 1 }, "{}", '{"a":1}'],
  ["dependentRequired", { type: "object", dependentRequired: { a: ["b"] } }, '{"a":1}', '{"a":1,"b":2}'],
  ["dependencies of draft 7", { type: "object", dependencies: { a: ["b"] } }, '{"a":1}', '{"a":1,"b":2}'],
  ["oneOf", { oneOf: [{ type: "number" }, { type: "integer" }] }, "1", "1.5"],
  ["the limit of a fraction", { type: "number", maximum: 0.97 }, "0.98", "0.9"],
])("%s is checked", async (_, schema, bad, good) => {
  expect((await ask([bad, bad], format(schema))).status).toBe(422);
  expect((await ask([bad, good], format(schema))).content).toBe(good);
});

test("a pattern that is none is refused before the model is asked", async () => {
  const { status, body } = await ask(["1"], format({ type: "string", pattern: "(" }));
  expect([status, body.error.code]).toEqual([400, "invalid_value"]);
});

test("docs/engine.md names every keyword that is checked, and the formats", async () => {
  const { FORMATS } = await import("../../../worker/json-schema/formats.ts");
  const { SAY_MORE } = await import("../../../worker/engine/generation/json-schema-to-gbnf.ts");
  const reference = readFileSync(new URL("../../../docs/engine.md", import.meta.url), "utf8");
  const missing = [...SAY_MORE, ...Object.keys(FORMATS)].filter((name) => !reference.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});
