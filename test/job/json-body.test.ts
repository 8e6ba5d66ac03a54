import { expect, test } from "vitest";
import { jsonOfBody } from "../../worker/job/json-body.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

test("a body with a byte order mark is read like one without", () => {
  expect(jsonOfBody(bytes('\ufeff{"a":[1]}'))).toEqual({ a: [1] });
});

test.each([
  ["that is no JSON", bytes("{a:1"), "malformed_json"],
  ["that is no text", Uint8Array.of(0x22, 0xff, 0x22), "malformed_json"],
  ["that costs memory to parse", bytes(`${"[".repeat(200)}${"]".repeat(200)}`), "invalid_input"],
])("a body %s is refused by name", (_, body, code) => {
  expect(() => jsonOfBody(body)).toThrow(expect.objectContaining({ code }));
});
