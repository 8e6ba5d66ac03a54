// The committed demo model is the one its card speaks of.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const folder = new URL("../../models/demo/", import.meta.url);
const sums = readFileSync(new URL("SHA256SUMS", folder), "utf8")
  .trim()
  .split("\n")
  .map((line) => line.split(/\s+/) as [sum: string, name: string]);

it("lists both files", () => {
  expect(sums.map(([, name]) => name)).toEqual(["kamado-demo.gguf", "kamado-demo-mmproj.gguf"]);
});

it.each(sums)("%s is %s", (sum, name) => {
  const file = readFileSync(new URL(name, folder));
  expect(createHash("sha256").update(file).digest("hex")).toBe(sum);
});
