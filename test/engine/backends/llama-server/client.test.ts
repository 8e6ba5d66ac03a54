import { expect, test } from "vitest";
import { stepsIn } from "../../../../worker/engine/backends/llama-server/client.ts";

test("the steps of llama-server are counted from its metrics", () => {
  expect(stepsIn("# HELP\nllamacpp:n_decode_total 41\nllamacpp:x 2")).toBe(41);
  expect(stepsIn("nothing")).toBeUndefined();
});
