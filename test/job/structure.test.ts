import { describe, expect, test } from "vitest";
import { asStructured } from "../../worker/job/cloud-event.ts";
import { parseBody } from "../../worker/job/envelope.ts";
import { excessOf, MAX_NESTING, MAX_VALUES } from "../../worker/job/structure.ts";
import fc from "../properties.ts";

const parse = (body: string) => parseBody(body, { messageId: "message-1", rules: [] });
const jobWith = (input: string) => `{"kind":"prompt","input":${input}}`;
const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const numbers = (count: number) => `[${"0,".repeat(count - 1)}0]`;
/** As long as what may stand behind a pointer. */
const LONGEST = 16 * 1024 * 1024;

describe("a body that is made to cost time or memory is refused before it is parsed", () => {
  test.each([
    ["nested without end", jobWith(nested(LONGEST / 2 - 50)), "is nested deeper than 100 levels"],
    ["of millions of empty objects", jobWith(`[${"{},".repeat(LONGEST / 3 - 50)}0]`), "has more than 50000"],
    ["of millions of destinations", `{"kind":"a","deliver":${numbers(LONGEST / 2 - 50)}}`, "has more than"],
    ["of a million fields", `{${'"field":0,'.repeat(1_000_000)}"kind":"a"}`, "has more than"],
    [
      "inside an SNS notification",
      JSON.stringify({ Type: "Notification", Message: jobWith(nested(1_000)) }),
      "is nested deeper",
    ],
    [
      "inside a CloudEvent",
      JSON.stringify({
        specversion: "1.0",
        type: "prompt",
        data_base64: Buffer.from(nested(1_000)).toString("base64"),
      }),
      "is nested deeper",
    ],
    [
      "inside a CloudEvent in binary mode",
      asStructured(jobWith(nested(1_000)), { ce_specversion: "1.0", ce_type: "prompt" })!,
      "is nested deeper",
    ],
    ["inside a JSON string", JSON.stringify(jobWith(nested(1_000))), "is nested deeper"],
    ["inside base64", Buffer.from(jobWith(nested(1_000))).toString("base64"), "is nested deeper"],
    ["of a batch of CloudEvents", `[{"specversion":"1.0","data":${nested(1_000)}}]`, "is nested deeper"],
  ])("%s", (_, body, reason) => {
    expect(parse(body)).toMatchObject({
      is: "malformed",
      error: { code: "invalid_envelope", message: expect.stringContaining(reason) },
    });
  });

  test("a field that is a string of too much of it stays a string, which the field refuses", () => {
    const body = JSON.stringify({ kind: "a", input: {}, deliver: nested(1_000) });
    expect(parse(body)).toMatchObject({
      is: "malformed",
      error: { message: expect.stringContaining("deliver") },
    });
  });

  test("exactly as much as is allowed is accepted", () => {
    expect(parse(jobWith(nested(MAX_NESTING - 1)))).toMatchObject({ is: "job" });
    expect(excessOf(numbers(MAX_VALUES - 1))).toBeNull();
    expect(excessOf(numbers(MAX_VALUES))).toContain("has more than");
  });

  test("what stands inside of texts counts for nothing, however it is escaped", () => {
    const texts = fc.array(fc.string({ unit: fc.constantFrom("[", "{", ",", '"', "\\", "a") }));
    fc.assert(
      fc.property(texts, (texts) => {
        const body = JSON.stringify([...texts, "[{,".repeat(MAX_VALUES), '\\"['.repeat(MAX_NESTING + 1)]);
        expect(excessOf(body)).toBeNull();
      }),
    );
  });
});
