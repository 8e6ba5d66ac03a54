// Which field a file fills, for the kinds that there are and for some that somebody may write.
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { type FileType, fieldsOf, placeOf, typeOfFile } from "../../../worker/cli/map/fields.ts";
import { defineHandler, type Handler } from "../../../worker/job/handler.ts";
import { loadRegistry } from "../../../worker/job/registry.ts";

const registry = await loadRegistry(join(resolve(import.meta.dirname, "../../.."), "handlers"), (error) => {
  throw error;
});
const place = (
  kind: string,
  type: FileType,
  given: string[] = [],
  as?: string,
  handler = registry.get(kind),
) => placeOf(type, { ...fieldsOf(kind, handler), as, given: new Set(given) });

const kind = (input: z.ZodObject, inputs?: (input: Record<string, string>) => object) =>
  defineHandler({
    kind: "own",
    summary: "",
    input,
    output: z.object({}),
    inputs,
    run: async () => ({}),
  } as never) as Handler;
const text = z.string();

test.each([
  ["image.check", "picture", [], { field: "image", upload: true }],
  ["prompt", "text", [], { field: "prompt", upload: false }],
  ["prompt", "html", [], { field: "prompt", upload: false }],
  ["prompt", "picture", ["prompt"], { field: "image", upload: true }],
  ["prompt", "text", ["prompt"], { field: "system", upload: false }],
  ["image.check", "text", [], { field: "question", upload: false }],
  ["todo.match", "text", [], { field: "text", upload: false }],
  ["article.extract", "text", [], { field: "text", upload: false }],
  ["article.extract", "html", [], { field: "html", upload: false }],
  ["article.extract", "pdf", [], { field: "url", upload: true }],
  ["text.summarize", "pdf", [], { field: "url", upload: true }],
  ["text.summarize", "html", [], { field: "url", upload: true }],
  ["text.summarize", "text", [], { field: "text", upload: false }],
] as const)("%s: a %s, with %j given, fills %j", (name, type, given, expected) => {
  expect(place(name, type, [...given])).toEqual(expected);
});

test.each(["article.extract", "text.summarize"])(
  "%s takes a file where `map` puts it, uploaded or not",
  (name) => {
    for (const type of ["pdf", "html"] as const) {
      const { field, upload } = place(name, type);
      const { input } = registry.get(name)!;
      for (const address of upload
        ? ["s3://kamado/in/file", "data:application/pdf;base64,JVBERg=="]
        : ["<p>Hello.</p>"])
        expect(input.safeParse({ [field]: address })).toMatchObject({ success: true });
    }
  },
);

test("a field that is said is taken: uploaded where the worker fetches it, else as text", () => {
  expect(place("article.extract", "text", [], "s3")).toEqual({ field: "s3", upload: true });
  expect(place("prompt", "picture", [], "system")).toEqual({ field: "system", upload: false });
});

test.each([
  ["image.check", "pdf", "image.check has no field for a PDF; it has image, question, threshold."],
  ["todo.match", "picture", "todo.match has no field for a picture"],
  ["openai.request", "text", "openai.request has no field for a text"],
] as const)("%s: a %s is refused with what to do", (name, type, words) => {
  expect(() => place(name, type)).toThrow(
    expect.objectContaining({
      code: "invalid_input",
      message: expect.stringContaining(words),
      hint: expect.stringContaining("--as"),
    }),
  );
});

test("where several fields would do, they are named", () => {
  const handler = kind(z.object({ left: text, right: text }));
  expect(() => place("own", "text", [], undefined, handler)).toThrow("a text could be left or right of own");
  expect(place("own", "text", ["left"], undefined, handler).field).toBe("right");
});

test("of several pictures the one that has to be there is meant", () => {
  const handler = kind(z.object({ photo: text, mask: text.optional() }), ({ photo, mask }) => ({
    photo: { from: photo, as: "image" },
    mask: { from: mask, as: "image" },
  }));
  expect(place("own", "picture", [], undefined, handler)).toEqual({ field: "photo", upload: true });
});

test("of a kind that is not known here, only what is said can be filled", () => {
  const unknown = fieldsOf("theirs", undefined);
  expect(placeOf("text", { ...unknown, as: "body", given: new Set() })).toEqual({
    field: "body",
    upload: false,
  });
  expect(() => placeOf("text", { ...unknown, as: undefined, given: new Set() })).toThrow(
    "theirs has no field for a text",
  );
});

test.each([
  ["a/b.JPG", "picture"],
  ["page.htm", "html"],
  ["doc.pdf", "pdf"],
  ["x.tsv", "csv"],
  ["x.ndjson", "jsonl"],
  ["README", "text"],
  ["notes.md", "text"],
])("%s is read as %s", (path, type) => expect(typeOfFile(path)).toBe(type));
