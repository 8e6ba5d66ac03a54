// A form from a JSON schema, and back to the value that it stands for.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  fieldOf,
  fieldsOf,
  inputFrom,
  itemsOf,
  picturePaths,
  wrongFields,
} from "../../worker/console/pages/schema-form.ts";
import type { View } from "../../worker/console/pages/view.ts";
import { wordsIn } from "../../worker/console/pages/words.ts";
import { KINDS } from "./fake-services.ts";

const view: View = {
  language: "en",
  t: wordsIn("en"),
  theme: "auto",
  path: "/",
  query: new URLSearchParams(),
  now: 0,
  mayChange: true,
};
const draw = (schema: object, texts = new Map<string, string>(), wrong = new Map<string, string>()) =>
  String(fieldsOf(view, schema, { texts, wrong }));
const schemaOf = (kind: string) => KINDS.find((one) => one.kind === kind)!.input;
const read = (schema: object, texts: Record<string, string>, wrong = new Map<string, string>()) =>
  inputFrom(schema, new Map(Object.entries(texts)), wrong, "no JSON");

test.each([
  [{ type: "string" }, "text"],
  [{ type: ["string", "null"] }, "text"],
  [{ enum: ["a", "b"] }, "choice"],
  [{ anyOf: [{ const: "a" }, { const: "b" }] }, "choice"],
  [{ anyOf: [{ type: "number" }, { type: "null" }] }, "number"],
  [{ type: "boolean" }, "switch"],
  [{ type: "array", items: { type: "string" } }, "list"],
  [{ type: "array", items: { anyOf: [{ type: "string" }, {}] } }, "list"],
  [{ type: "array", items: { type: "object", properties: { a: {} } } }, "objects"],
  [{ type: "array" }, "json"],
  [{ type: "object", properties: { a: {} } }, "object"],
  [{ type: "object" }, "json"],
  [{}, "json"],
  [{ type: "string", contentMediaType: "image/png" }, "picture"],
])("%j is asked for as %s", (schema, is) => {
  expect(fieldOf(schema as object, "field").is).toBe(is);
});

describe("every kind that comes with Kamado", () => {
  test.each(KINDS.map(({ kind }) => kind))(
    "%s has a field for each of its inputs, with its description",
    (kind) => {
      const schema = schemaOf(kind) as { properties: Record<string, { description?: string }> };
      const form = draw(schema);
      for (const name of Object.keys(schema.properties))
        expect(form).toMatch(new RegExp(`(name|for)="input\\.${name}\\b`));
      expect(form.match(/class="help" id="input/g)!.length).toBeGreaterThanOrEqual(
        Object.values(schema.properties).filter(({ description }) => description).length,
      );
    },
  );

  test("a picture can be chosen, taken by the camera, or named by its address", () => {
    expect(picturePaths(schemaOf("image.check"))).toEqual(["input.image"]);
    const form = draw(schemaOf("image.check"));
    expect(form).toContain('type="file" name="input.image.file" accept="image/*"');
    expect(form).toContain('accept="image/*" capture="environment"');
    expect(form).toMatch(/<input type="text" id="input.image"/);
  });

  test("every form can be sent with the values that stand in it, and a text needs no quotation marks", () => {
    for (const { input } of KINDS) {
      const wrong = new Map<string, string>();
      const defaults = Object.entries(
        (input as { properties: Record<string, { default?: unknown }> }).properties,
      )
        .filter(([, one]) => ["string", "number"].includes(typeof one.default))
        .map(([name, one]) => [`input.${name}`, String(one.default)] as const);
      read(input, Object.fromEntries(defaults), wrong);
      expect([...wrong]).toEqual([]);
    }
    const summarize = schemaOf("text.summarize");
    expect(read(summarize, { "input.length": "short", "input.s3": "s3://b/k" })).toEqual({
      length: "short",
      s3: "s3://b/k",
    });
    expect(read(summarize, { "input.length": "5", "input.s3": '["s3://b/k"]' })).toEqual({
      length: 5,
      s3: ["s3://b/k"],
    });
  });

  test("what was left empty is left out, and what was written is read as its type", () => {
    expect(
      read(schemaOf("image.check"), {
        "input.image": "s3://b/k",
        "input.question": " Is it?\r\nReally?",
        "input.threshold": "0.8",
      }),
    ).toEqual({
      image: "s3://b/k",
      question: " Is it?\nReally?",
      threshold: 0.8,
    });
    expect(
      read(schemaOf("prompt"), {
        "input.prompt": "x",
        "input.schema": '{"type":"string"}',
        "input.maxTokens": "",
      }),
    ).toEqual({ prompt: "x", schema: { type: "string" } });
    expect(
      read(schemaOf("todo.match"), {
        "input.text": "milk",
        "input.todos.0.id": "1",
        "input.todos.0.title": "Buy milk",
        "input.todos.1.id": "",
        "input.todos.1.title": "",
        "input.todos.2.title": "Call",
      }),
    ).toEqual({ text: "milk", todos: [{ id: "1", title: "Buy milk" }, { title: "Call" }] });
    expect(
      read(schemaOf("article.extract"), {
        "input.text": "t",
        "input.questions": "Who?\r\n\r\n When? ",
        "input.maxFacts": "2",
      }),
    ).toEqual({
      text: "t",
      questions: ["Who?", "When?"],
      maxFacts: 2,
    });
  });
});

test("what is no number or no JSON is not lost: the schema refuses the one, the form the other", () => {
  const wrong = new Map<string, string>();
  const schema = { type: "object", properties: { n: { type: "number" }, any: {} } };
  expect(read(schema, { "input.n": "ten", "input.any": "{" }, wrong)).toEqual({ n: "ten" });
  expect([...wrong]).toEqual([["input.any", "no JSON"]]);
});

test("a box that is not ticked is false only where it is ticked by default", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "boolean" }, b: { type: "boolean", default: true } },
  };
  expect(read(schema, {})).toEqual({ b: false });
  expect(read(schema, { "input.a": "true", "input.b": "true" })).toEqual({ a: true, b: true });
});

test("what is wrong stands at its field, which names it for screen readers", () => {
  const { wrong, rest } = wrongFields(
    "question: Too small; todos.0.title: expected a string; nothing: else.",
    {
      type: "object",
      properties: {
        question: { type: "string" },
        todos: { type: "array", items: { type: "object", properties: { title: { type: "string" } } } },
      },
    },
  );
  expect([...wrong]).toEqual([
    ["input.question", "Too small"],
    ["input.todos.0.title", "expected a string"],
  ]);
  expect(rest).toEqual(["nothing: else"]);
  const form = draw(schemaOf("image.check"), new Map([["input.question", "<b>"]]), wrong);
  expect(form).toContain('aria-invalid="true"');
  expect(form).toMatch(/aria-describedby="input\.question-help input\.question-wrong"[^>]*>&lt;b&gt;</);
  expect(form).toContain('id="input.question-wrong">Too small<');
});

test("a list grows by what is written into it, and has a bound", () => {
  expect(itemsOf(new Map([["input.a.3.x", ""]]), "input.a")).toBe(4);
  expect(itemsOf(new Map([["input.a.99999999.x", ""]]), "input.a")).toBe(200);
  expect(itemsOf(new Map([["input.b.3.x", ""]]), "input.a")).toBe(0);
});

test("whatever a schema says, a form is drawn and read, and nothing of it is markup", () => {
  const leaf = fc.record(
    {
      type: fc.constantFrom("string", "number", "boolean", "null", "weird"),
      description: fc.constant("<script>x</script>"),
      default: fc.jsonValue(),
      enum: fc.array(fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  const schema = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.record({
        type: fc.constant("object"),
        properties: fc.dictionary(fc.string(), tie("any"), { maxKeys: 3 }),
      }),
      fc.record({ type: fc.constant("array"), items: tie("any") }),
      fc.record({ anyOf: fc.array(tie("any"), { maxLength: 3 }) }),
    ),
  })).any;
  fc.assert(
    fc.property(fc.dictionary(fc.string(), schema, { maxKeys: 4 }), (properties) => {
      expect(draw({ type: "object", properties })).not.toMatch(/<script|<b>/);
      expect(read({ type: "object", properties }, {})).toBeTypeOf("object");
    }),
    { numRuns: 150 },
  );
});
