import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { openScripted } from "../../../../worker/engine/backends/scripted/open.ts";
import {
  answerOf,
  areSettings,
  checkScript,
  type Record,
  Rules,
  Script,
  scriptOfSettings,
  thoughtOf,
  words,
} from "../../../../worker/engine/backends/scripted/script.ts";
import { smallestValue } from "../../../../worker/engine/backends/scripted/smallest-value.ts";
import { startEngine } from "../../../../worker/engine/supervisor/supervisor.ts";

describe("a script", () => {
  test("takes the first rule that fits and is not spent, with the script's defaults", () => {
    const rules = new Rules(
      Script.parse({
        tokenMs: 5,
        rules: [
          { when: "door", times: 1, answer: "a" },
          { when: "door", waitMs: 9 },
        ],
      }),
    );
    expect(rules.take("the door")).toMatchObject({ rule: { answer: "a", tokenMs: 5 }, nth: 0 });
    expect(rules.take("the door")).toMatchObject({ rule: { waitMs: 9, tokenMs: 5 }, nth: 0 });
    expect(rules.take("the door").nth).toBe(1);
    expect(rules.take("a todo")).toEqual({ rule: { tokenMs: 5 }, nth: 0 });
  });

  test("a rule that is only looked at is not spent", () => {
    const rules = new Rules(Script.parse({ rules: [{ times: 1, answer: "a" }] }));
    expect(rules.peek("x")).toMatchObject({ answer: "a" });
    expect([rules.take("x").rule.answer, rules.take("x").rule.answer]).toEqual(["a", undefined]);
  });

  test.each([
    [{ answer: "a", tokens: 9 }, "a"],
    [{ answer: { locked: true } }, '{"locked":true}'],
    [{ tokens: 3 }, "The stove is"],
    [{ tokens: 0 }, ""],
    [{}, undefined],
  ])("%o answers %j", (rule, text) => {
    expect(answerOf(rule, 0)).toBe(text);
  });

  test("a thought is a text or so many words", () => {
    expect([thoughtOf({ thought: "Hm." }), thoughtOf({ thought: 2 }), thoughtOf({})]).toEqual([
      "Hm.",
      "The stove",
      "",
    ]);
  });

  test("a long answer has as many tokens as it was to have", () => {
    expect(words(answerOf({ tokens: 100 }, 0)!)).toHaveLength(100);
  });

  test.each([
    ["one two", ["one", " two"]],
    [" a\nb ", [" a", "\nb", " "]],
    ["", []],
  ])("%j has the words %j", (text, expected) => {
    expect(words(text)).toEqual(expected);
  });
});

describe("settings stand for a script", () => {
  test("that waits, speaks and thinks as they say", async () => {
    const text = "wait=500, perToken=20,tokens=100,thought=30,cached=5,contextSize=4096,load=1";
    expect(areSettings(text)).toBe(true);
    expect(scriptOfSettings(text)).toMatchObject({
      waitMs: 500,
      tokenMs: 20,
      tokens: 100,
      thought: 30,
      cachedTokens: 5,
      contextSize: 4_096,
      loadMs: 1,
    });
    const { info } = await openScripted({ script: "thought=1,contextSize=64", slots: 2 });
    expect(info).toMatchObject({ thinks: true, contextSize: 64, slots: 2 });
  });

  test.each(["script.json", '{"tokens": 1}', "a=b", ""])("%j is none", (text) => {
    expect(areSettings(text)).toBe(false);
  });

  test.each([
    ["speed=3", "--script: there is no setting speed; there are wait, perToken, tokens"],
    ["wait=9999999", "The script's waitMs:"],
  ])("%s is refused", async (script, message) => {
    await expect(openScripted({ script, slots: 1 })).rejects.toThrow(message);
  });
});

test("a script's field that is wrong is named", () => {
  expect(() => checkScript({ rules: [{ answer: "a", do: "sing" }] })).toThrow("The script's rules.0.do:");
});

describe("the smallest value fits its schema", () => {
  test.each([
    { type: "object", properties: { a: { type: "string", minLength: 2 }, b: {} }, required: ["a"] },
    { type: "array", minItems: 2, items: { type: "number", minimum: 3 } },
    { anyOf: [{ type: "integer", exclusiveMinimum: 0 }, { type: "null" }] },
    { $ref: "#/$defs/x", $defs: { x: { type: "object", properties: { y: { const: 7 } }, required: ["y"] } } },
    { type: ["boolean", "null"] },
    { enum: ["only"] },
    { allOf: [{ type: "object" }, { properties: { a: { type: "integer", maximum: -2 } }, required: ["a"] }] },
  ])("%j", (schema) => {
    expect(new Ajv({ strict: false }).validate(schema, smallestValue(schema))).toBe(true);
  });
});

test("an answer during which the engine died was begun and is not over; the one before it is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-record-"));
  const record = join(folder, "answers.jsonl");
  const script = JSON.stringify({ record, rules: [{ when: "deadly", do: "crash" }] });
  const engine = startEngine({ backend: "scripted", script, slots: 1, port: 0, dataDir: folder });
  try {
    await engine.ready();
    const ask = (prompt: string) =>
      fetch(`${engine.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "scripted", prompt }),
      });
    expect((await ask("harmless")).status).toBe(200);
    const { pid } = engine;
    await expect(ask("deadly")).rejects.toThrow();
    const lines = readFileSync(record, "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as Record)).toMatchObject([
      { pid, what: "begun", prompt: "harmless" },
      { pid, what: "over", prompt: "harmless" },
      { pid, what: "begun", prompt: "deadly" },
    ]);
  } finally {
    await engine.stop();
    rmSync(folder, { recursive: true });
  }
});
