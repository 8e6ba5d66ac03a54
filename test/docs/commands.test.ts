// Every command that a page tells its reader to type is typed here, in order, by a reader with nothing but a clone (reader.ts). What cannot be
// run names its reason in the page, and is a skipped test. README.md is read in every run; the other pages where KAMADO_TEST_DOCS=1 is
// set, as in .ci/run, because hundreds of processes are too dear for every run.
import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runKamado } from "../cli/process.ts";
import { blocksIn, commandsIn, fits, indentedCodeIn, PAGES, ROOT, read, stepsIn } from "./pages.ts";
import { isInstalled, type Reader, stays, whyNotHere } from "./reader.ts";
import { PLAIN, WORLDS } from "./worlds.ts";

const LANGUAGES = ["console", "usage", "text", "json", "ts", "toml", "yaml", "ini"];
const IN_EVERY_RUN = ["README.md", "docs/senders.md"];
const pages = PAGES.map((page) => ({ page, blocks: blocksIn(read(page)) }));
const all = pages.flatMap(({ page, blocks }) => blocks.map((block) => ({ page, ...block })));
const at = ({ page, line }: { page: string; line: number }) => `${page}:${line}`;

describe("how the pages are written", () => {
  test("all code stands in blocks that say what it is", () => {
    const unmarked = pages.flatMap(({ page }) =>
      indentedCodeIn(read(page)).map((line) => `${page}: ${line}`),
    );
    expect(unmarked).toEqual([]);
    expect(all.filter(({ language }) => !LANGUAGES.includes(language)).map(at)).toEqual([]);
  });

  test("a block of commands begins with one, and no command stands in another block", () => {
    const consoles = all.filter(({ language }) => language === "console");
    expect(consoles.length).toBeGreaterThan(30);
    expect(consoles.filter((block) => stepsIn(block).length === 0).map(at)).toEqual([]);
    const others = all.filter(({ language }) => language !== "console" && language !== "usage");
    expect(others.filter(({ lines }) => commandsIn(lines).length > 0).map(at)).toEqual([]);
  });

  test("a command that stays says what it prints when it is ready", () => {
    const steps = all
      .filter(({ language, reason, runBy }) => language === "console" && !reason && !runBy)
      .flatMap((block) => stepsIn(block).map((step) => ({ ...step, at: at(block) })));
    const silent = steps.filter(({ command, output }) => stays(command) && output.join("") === "");
    expect(silent.map(({ at, command }) => `${at} ${command}`)).toEqual([]);
  });

  test("what runs a block instead is a test or what CI runs, and CI runs the very commands", () => {
    const elsewhere = all.filter(({ runBy }) => runBy !== undefined);
    const missing = elsewhere.filter(
      ({ runBy }) => !statSync(join(ROOT, runBy!), { throwIfNoEntry: false })?.isFile(),
    );
    expect(missing.map(at)).toEqual([]);
    expect(elsewhere.filter(({ runBy }) => !/^\.ci\/|\.test\.ts$/.test(runBy!)).map(at)).toEqual([]);
    const byCi = elsewhere.filter(({ runBy }) => runBy === ".ci/run").flatMap(stepsIn);
    const bare = (command: string) =>
      command
        .replace(/ +# .*$/, "")
        .replace(/ -- .*$/, "")
        .replace(/^\.\/kamado /, "npm run kamado -- ");
    expect(
      byCi
        .map(({ command }) => bare(command))
        .filter((one) => !read(".ci/run").replaceAll(" --silent", "").includes(one)),
    ).toEqual([]);
  });

  test("the reasons are few", () => {
    const reasoned = all.filter(({ reason }) => reason !== undefined);
    expect(reasoned.map(at).length).toBeLessThanOrEqual(
      all.filter(({ language }) => language === "console").length / 3,
    );
  });

  test("what would escape is noticed", () => {
    expect(indentedCodeIn("Type:\n\n    npm start\n")).toEqual(["    npm start"]);
    expect(commandsIn(["KAMADO_MODEL=a npm start", "PATCH /todos/3", "./kamado status"])).toHaveLength(2);
    expect(blocksIn("<!-- needs aws -->\n```json job\n{}\n```\n  ```console\n  $ a\n  ```\n")).toMatchObject([
      { language: "json", lines: ["{}"], needs: "aws" },
      { language: "console", lines: ["$ a"], needs: undefined },
    ]);
    expect(() => stepsIn({ lines: ["npm start"] })).toThrow("is no command");
    expect(stepsIn({ lines: ["$ cat <<'END' >a", "$ b", "END", "out", "$ c \\", "  d"] })).toEqual([
      { command: "cat <<'END' >a\n$ b\nEND", output: ["out"] },
      { command: "c \\\n  d", output: [] },
    ]);
    expect(fits("a 12 b\n\nx\ny\nz\n", ["a ... b", "", "...", "z"])).toBe(true);
    expect(fits("a 12 c\n", ["a ... b"])).toBe(false);
    expect(fits("a\nb\n", ["a"])).toBe(false);
    expect(
      ["npm start", "A=b npm start  # x", "./kamado serve --watch", "set -a; ./kamado worker"].every(stays),
    ).toBe(true);
    expect(
      ["./kamado run a", "./kamado status # ./kamado worker", "./kamado engine calibrate"].some(stays),
    ).toBe(false);
  });
});

const WHY_NOT_NOW =
  process.env.KAMADO_TEST_DOCS === "1" ? null : "it takes long; set KAMADO_TEST_DOCS=1, as .ci/run does";

test("every npm script that a page names exists", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const named = [...PAGES, "CONTRIBUTING.md"].flatMap((page) => [
    ...read(page).matchAll(/npm run ([\w:-]+)/g),
  ]);
  expect(named.length).toBeGreaterThan(20);
  expect(named.map(([, name]) => name!).filter((name) => !(name in scripts))).toEqual([]);
});

/** Commands of `kamado` that are described and not typed: in `usage` blocks and within sentences. */
function describedCommands(): string[] {
  const usages = all
    .filter(({ language }) => language === "usage")
    .flatMap(({ lines }) => lines.join("\n").replaceAll(/\n +/g, " ").split("\n"));
  const inline = PAGES.flatMap((page) => [...read(page).matchAll(/`((?:\.\/)?kamado [a-z][^`]*)`/g)]);
  const commands = [...usages, ...inline.map(([, command]) => command!)].map((one) =>
    one.replace(/^(npm run bench --|(\.\/)?kamado) /, (_, start) =>
      start.startsWith("npm") ? "bench " : "",
    ),
  );
  return [...new Set(commands.map((one) => one.replace(/ +# .*$/, "")))];
}

test("what a page says of a command and its flags is in the command's help", async (context) => {
  if (WHY_NOT_NOW !== null) return context.skip(WHY_NOT_NOW);
  const described = describedCommands();
  expect(described.length).toBeGreaterThan(40);
  for (const command of described) {
    const words = command.split(/\s+/);
    const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
    const { out, errors } = await runKamado([...words.slice(0, end < 0 ? undefined : end), "--help"]);
    expect({ command, errors }).toEqual({ command, errors: "" });
    const [, path] = /^Usage: kamado ([a-z -]+)/.exec(out) ?? [];
    const further = command.replace(path?.trim() ?? command, "").trim();
    // A word after a command that has commands of its own is one of these.
    const isUnknown = /^Commands:$/m.test(out) && /^[a-z]/.test(further);
    const missing = (command.match(/--[a-z][a-z-]+/g) ?? []).filter((flag) => !out.includes(flag));
    expect({ command, isUnknown, missing }).toEqual({ command, isUnknown: false, missing: [] });
  }
});

const isTyped = ({ language }: { language: string }) => language === "console";

describe.each(pages.filter(({ blocks }) => blocks.some(isTyped)))("$page", ({ page, blocks }) => {
  const typed = blocks.filter(isTyped);
  const world = WORLDS[page] ?? PLAIN;
  let reader: Reader | undefined;
  let stop: (() => Promise<void>) | undefined;
  let missing = IN_EVERY_RUN.includes(page) ? null : WHY_NOT_NOW;
  beforeAll(async () => {
    if (typed.every(({ reason, runBy }) => reason ?? runBy)) return;
    missing ??= whyNotHere() ?? world.whyNot?.() ?? null;
    if (missing === null) ({ reader, stop } = await world.start());
  });
  afterAll(async () => {
    await reader?.stop();
    await stop?.();
  });

  for (const block of typed) {
    const steps = stepsIn(block);
    const title = `line ${block.line}: ${steps[0]?.command.split("\n")[0]}`;
    test(title, async (context) => {
      if (block.reason !== undefined) return context.skip(block.reason);
      if (block.runBy !== undefined) return context.skip(`${block.runBy} runs it`);
      if (missing !== null) return context.skip(missing);
      if (block.needs !== undefined && !isInstalled(block.needs))
        return context.skip(`${block.needs} is not installed`);
      for (const step of steps) await reader!.type(step);
    });
  }
});
