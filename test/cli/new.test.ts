// `kamado new` writes a handler that runs, is tested and has types, in a folder outside of the repository.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { newCommand } from "../../worker/cli/commands/new.ts";
import { HANDLERS } from "../../worker/config/config.ts";
import { loadRegistry } from "../../worker/job/registry.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const place = () => mkdtempSync(join(tmpdir(), "kamado-handlers-"));

/** Runs the command here, and gives what it prints. */
async function kamadoNew(kind: string, folder: string, ...flags: string[]): Promise<string> {
  let out = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += text;
    return true;
  });
  try {
    await newCommand().parseAsync([kind, "--folder", folder, ...flags], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return out;
}

test("what it writes is a handler without an error, whose types the compiler of an editor finds", async () => {
  const folder = join(place(), "my händler");
  const out = await kamadoNew("mood.read", folder);
  expect(readdirSync(folder).toSorted()).toEqual([
    "mood-read.test.ts",
    "mood-read.ts",
    "package.json",
    "tsconfig.json",
  ]);
  expect(out).toContain(
    `  1. export KAMADO_HANDLERS='${folder}'\n     or in kamado.toml: handlers = "${folder}"\n`,
  );
  expect(out).toContain(`./kamado test '${folder}/mood-read.test.ts'`);
  const registry = await loadRegistry(HANDLERS, (broken) => expect.unreachable(broken.message), folder);
  expect(registry.get("mood.read")?.summary).toBe("Says how a sentence sounds.");

  // In JavaScript too, and although the folder has a zod of its own, which does not count.
  mkdirSync(join(folder, "node_modules/zod"), { recursive: true });
  writeFileSync(join(folder, "node_modules/zod/package.json"), '{"name": "zod", "main": "index.js"}');
  writeFileSync(join(folder, "node_modules/zod/index.js"), "throw new Error('another zod');");
  writeFileSync(
    join(folder, "night-read.js"),
    `// @ts-check
import { defineHandler } from "kamado/handler";
import { z } from "zod/v4";
const [input, output] = [z.strictObject({ text: z.string() }), z.strictObject({ mood: z.string() })];
export default defineHandler({
  kind: "night.read",
  summary: "Reads.",
  input,
  output,
  run: async ({ text }, { model }) => ({ mood: await model.ask({ instructions: "Mood?", content: text.nothing }) }),
});
`,
  );
  const both = await loadRegistry(HANDLERS, (broken) => expect.unreachable(broken.message), folder);
  expect(both.get("night.read")?.summary).toBe("Reads.");
  writeFileSync(
    join(folder, "wrong.ts"),
    'import handler from "./mood-read.ts";\nhandler.run({ text: 7 }, {} as never);\n',
  );
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const said = await promisify(execFile)(process.execPath, [tsc, "-p", folder]).catch(
    (error) => error.stdout,
  );
  expect(
    said
      .trim()
      .split("\n")
      .filter((line: string) => line.includes("error")),
  ).toEqual([
    expect.stringMatching(/night-read\.js.*'nothing' does not exist on type 'string'/),
    expect.stringMatching(/wrong\.ts.*'number' is not assignable to type 'string'/),
  ]);
}, 60_000);

test("a second one leaves alone what the folder has already", async () => {
  const folder = place();
  writeFileSync(join(folder, "package.json"), '{"type": "module", "dependencies": {}}');
  expect(await kamadoNew("mood.read", folder)).not.toContain('"type"');
  await kamadoNew("night.watch", folder);
  expect(readFileSync(join(folder, "package.json"), "utf8")).toContain("dependencies");
  expect(existsSync(join(folder, "night-watch.test.ts"))).toBe(true);
});

test("a tsconfig.json of one's own stays, and what is missing in it for editors is said", async () => {
  const folder = place();
  writeFileSync(join(folder, "tsconfig.json"), '{"compilerOptions": {"strict": true}}');
  const said = await kamadoNew("mood.read", folder);
  const [, missing] = /compilerOptions in .*tsconfig\.json: (.*)/.exec(said)!;
  writeFileSync(join(folder, "tsconfig.json"), `{"compilerOptions": {"strict": true, ${missing}}}`);
  expect(await kamadoNew("night.read", folder)).not.toContain("compilerOptions");
  expect(JSON.parse(readFileSync(join(folder, "tsconfig.json"), "utf8")).compilerOptions.paths).toMatchObject(
    {
      "kamado/handler": [join(ROOT, "worker/job/handler.ts")],
    },
  );
});

test("what `npm init` wrote stays, and what editors need besides is said; the handler runs all the same", async () => {
  const folder = place();
  writeFileSync(join(folder, "package.json"), '{"type": "commonjs"}');
  expect(await kamadoNew("mood.read", folder)).toContain(`1. set "type": "module" in ${folder}/package.json`);
  const registry = await loadRegistry(HANDLERS, (broken) => expect.unreachable(broken.message), folder);
  expect(registry.get("mood.read")?.broken).toBeUndefined();
});

describe("nothing is replaced, and nothing is written when it says no", () => {
  test.each([
    ["the handler is there", "mood-read.ts", "mood.read is there already: "],
    ["the handler is there in JavaScript", "mood-read.mjs", "mood.read is there already: "],
    ["its test is there", "mood-read.test.ts", "it is there already, and stays as it is"],
  ])("%s", async (_, file, why) => {
    const folder = place();
    writeFileSync(join(folder, file), "mine");
    await expect(kamadoNew("mood.read", folder)).rejects.toThrow(why);
    expect(readdirSync(folder)).toEqual([file]);
    expect(readFileSync(join(folder, file), "utf8")).toBe("mine");
  });

  test.each([
    ["prompt", "kind: prompt is there already: handlers/prompt.ts."],
    ["Mood-Read", 'kind: "Mood-Read" cannot be the name of a kind.'],
    ["a..b", "cannot be the name"],
    [".a", "cannot be the name"],
    ["../../etc", "cannot be the name"],
    ["7up", "cannot be the name"],
    ["a".repeat(101), "cannot be the name"],
    ["気分", "cannot be the name"],
  ])("the kind %s", async (kind, why) => {
    const folder = place();
    await expect(kamadoNew(kind, folder)).rejects.toThrow(
      expect.objectContaining({ code: "invalid_input", message: expect.stringContaining(why) }),
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a kind that is nearly right is given as it may be", async () => {
    await expect(kamadoNew("Mood-Read", place())).rejects.toMatchObject({
      hint: expect.stringContaining("such as mood.read."),
    });
  });

  test("Kamado's own folder", async () => {
    for (const folder of [ROOT, join(ROOT, "handlers")])
      await expect(kamadoNew("mood.read", folder)).rejects.toThrow("is a folder of Kamado itself");
    expect(existsSync(join(ROOT, "handlers/mood-read.ts"))).toBe(false);
  });

  test("a place that is no folder", async () => {
    const folder = place();
    writeFileSync(join(folder, "file"), "");
    await expect(kamadoNew("mood.read", join(folder, "file"))).rejects.toMatchObject({
      code: "config_invalid",
    });
    mkdirSync(join(folder, "mood-read.test.ts"));
    await expect(kamadoNew("mood.read", folder)).rejects.toMatchObject({ code: "config_invalid" });
    expect(existsSync(join(folder, "mood-read.ts"))).toBe(false);
  });

  test("--dry-run, which says what it would write", async () => {
    const folder = place();
    const said = await kamadoNew("mood.read", folder, "--dry-run");
    expect(said).toContain(`Would write:\n  ${folder}/mood-read.ts\n`);
    expect(JSON.parse(await kamadoNew("mood.read", folder, "--dry-run", "--json"))).toMatchObject({
      kind: "mood.read",
      folder,
      written: false,
      files: expect.arrayContaining([join(folder, "mood-read.ts")]),
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});
