// The way into the command, when somebody runs it without the scripts that choose the right Node.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const START = resolve(import.meta.dirname, "../../worker/cli/start.mjs");

/** Makes the process say that it is an older Node, before the command begins. */
const asNode = (version: string) =>
  `data:text/javascript,${encodeURIComponent(
    `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`,
  )}`;

test("a direct start on a Node that is too old ends with one line that says which Node is needed and what to run", async () => {
  const run = promisify(execFile)(process.execPath, ["--import", asNode("20.20.2"), START, "status"]);
  const { code, stderr, stdout } = await run.catch((thrown) => thrown);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(
    /^kamado: this is Node 20\.20\.2, and Kamado needs 24 or later\. Run \.\/kamado .*\n$/,
  );
});

test("what an older Node does not have is not named in an import, which would end it before that line", () => {
  const source = readFileSync(START, "utf8");
  const { engines } = JSON.parse(readFileSync(join(START, "../../../package.json"), "utf8"));
  expect(engines.node).toBe(`>=${source.match(/const OLDEST = (\d+);/)?.[1]}`);
  expect(source).toContain('import * as modules from "node:module";');
  expect(source).not.toMatch(/import \{[^}]*\} from "node:(module|sqlite)"/);
});
