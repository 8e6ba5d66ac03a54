// What a newcomer sees before anything is installed. Runs install.mjs and the command in a folder without node_modules.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");

/** A checkout with nothing installed, on a machine that has only the given programs. */
function run(command: string, args: string[], { path = "/nowhere" } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "kamado-install-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of ["install.mjs", "kamado", "package.json", "package-lock.json"])
    copyFileSync(join(ROOT, file), join(folder, file));
  const { status, stderr } = spawnSync(command, args, { cwd: folder, env: { PATH: path }, encoding: "utf8" });
  return { status, lines: stderr.trimEnd().split("\n") };
}

test("without npm the installation says how large it is, and then what is missing", () => {
  const { status, lines } = run(process.execPath, ["install.mjs"]);
  expect(status).toBe(1);
  expect(lines).toEqual([
    expect.stringMatching(/^kamado: installing .* minutes, and up to [\d.]+ GB/),
    expect.stringMatching(/^kamado: npm is missing; install it/),
  ]);
});

test("without Node the command says so in one line", () => {
  const { status, lines } = run("/bin/sh", ["./kamado", "--help"]);
  expect(status).toBe(1);
  expect(lines).toEqual([expect.stringMatching(/^kamado: Node is missing; install Node 20 or later/)]);
});
