// What an error says of what came from outside.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { describeIssues, KamadoError, missingPackage, toKamadoError } from "../worker/errors.ts";

const ESC = "\u001b";

describe("an error's message", () => {
  test.for([
    [
      "of a thrown error",
      () => toKamadoError(new Error(`${ESC}[2J${"x".repeat(900_000)}`), "handler_failed"),
    ],
    ["of a value", () => toKamadoError(`${ESC}]0;title\u0007${"x".repeat(900_000)}`, "handler_failed")],
    ["of our own", () => new KamadoError("object_not_found", `s3://b/${ESC}${"k".repeat(300_000)}`)],
  ] as const)("%s is bounded and cannot steer a terminal", ([, make]) => {
    const { message, stack } = make();
    expect(message.length).toBeLessThanOrEqual(4_000);
    for (const text of [message, stack!.split("\n    at ")[0]!]) expect(text).not.toMatch(/\p{Cc}/u);
    expect(message).toContain("\\u001b");
  });

  test("keeps its lines", () => {
    expect(new KamadoError("build_failed", "its end:\n  error").message).toBe("its end:\n  error");
  });
});

describe("wrong fields", () => {
  const issuesOf = (value: unknown, schema: z.ZodType) =>
    describeIssues(schema.safeParse(value).error!, value);

  test("are named in few words, however long their names are", () => {
    const long = "y".repeat(900_000);
    const said = issuesOf({ [long]: 1, text: 2 }, z.strictObject({ text: z.string() }));
    expect(said.length).toBeLessThan(1_500);
    expect(said).toMatch(/^text: Invalid input.*; the value: Unrecognized key: "yyy/);
    expect(issuesOf({ [long]: 1 }, z.record(z.string(), z.string())).length).toBeLessThan(1_000);
  });

  test("of a list that was written with commas tell what was written", () => {
    const list = z.object({
      state: z
        .string()
        .transform((text) => text.split(","))
        .pipe(z.array(z.enum(["failed"]))),
    });
    expect(issuesOf({ state: "wrong" }, list)).toMatch(/^state\.0: .*\(got a string of 5 characters\)$/);
  });

  test("are named on one line, without anything that acts", () => {
    const said = issuesOf({ [`a${ESC}[31m\nb\u202e`]: 1 }, z.record(z.string(), z.string()));
    expect(said).toMatch(/^a\\u001b\[31m\\nb\\u202e: /);
  });
});

test("a package that an installation leaves out is named; a module of our own that is missing is a bug", () => {
  const name = "@kamado/left-out";
  const as = (message: string, code = "ERR_MODULE_NOT_FOUND") => Object.assign(new Error(message), { code });
  expect(missingPackage(as(`Cannot find package '${name}' imported from /a/b.ts`))).toBe(name);
  expect(missingPackage(as("Cannot find module '/a/c.ts' imported from /a/b.ts"))).toBeUndefined();
  expect(missingPackage(as(`Cannot find package '${name}'`, "ENOENT"))).toBeUndefined();
  expect(missingPackage(null)).toBeUndefined();
});
