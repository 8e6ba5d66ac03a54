// `kamado test` runs the tests of handlers that are outside of the repository, where nothing is installed.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runKamado } from "./process.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-handlers-"));

test("tests that `kamado new` wrote pass; one that fails, or cannot be loaded, ends with 1 and is named", async () => {
  const variables = { KAMADO_HANDLERS: folder };
  expect((await runKamado(["new", "mood.read"], variables)).code).toBe(0);
  expect((await runKamado(["complete", "--", "run", "mood"], variables)).out).toContain("mood.read");
  const passed = await runKamado(["test"], variables);
  expect(passed).toMatchObject({ code: 0, errors: "" });
  expect(passed.out).toContain("mood.read names the mood that the model prefers");

  writeFileSync(
    join(folder, "wrong.test.ts"),
    'import assert from "node:assert"; import { test } from "node:test"; test("two", () => assert.equal(1 as number, 2));',
  );
  writeFileSync(join(folder, "lost.test.ts"), 'import "nowhere";');
  const failed = await runKamado(["test"], variables);
  expect(failed.code).toBe(1);
  expect(failed.out).toMatch(/✖ two/);
  expect(failed.out).toMatch(/Cannot find package 'nowhere'/);
  expect(failed.out).toMatch(/pass 3\n.* fail 2/);
}, 60_000);

test.each([
  [[folder, "--only", "no such name"], "--only: no test has a name like no such name."],
  [["/nowhere"], "/nowhere: there is no such file or folder."],
  [[mkdtempSync(join(tmpdir(), "kamado-empty-"))], "it has no tests."],
  [[], "no file is named, and KAMADO_HANDLERS is not set"],
])(
  "what runs no test is an error: kamado test %j",
  async (args, why) => {
    writeFileSync(join(folder, "one.test.ts"), 'import { test } from "node:test"; test("one", () => {});');
    const { code, errors } = await runKamado([
      "test",
      ...args.map((one) => (one === folder ? join(folder, "one.test.ts") : one)),
    ]);
    expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining(why) });
  },
  60_000,
);
