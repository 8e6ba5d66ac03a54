// `kamado new KIND`: writes a handler and its test into a folder of the owner, with what editors need to know its types. It never
// replaces a file.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { Command } from "commander";
import { HANDLERS, HOME, ownHandlersFolder } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { handlerFiles, kindOfFile, shown } from "../../job/registry.ts";
import { printable } from "../../printable.ts";
import { nameMistypedVariables } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";
import { shellWord } from "../shell-word.ts";

export function newCommand(): Command {
  return examples(new Command("new"), [
    "new mood.read --folder ~/kamado-handlers",
    "new mood.read --dry-run    # into the folder KAMADO_HANDLERS",
  ])
    .argument("<kind>", "the kind of job, like mood.read")
    .description("write a handler of your own and its test, to begin from")
    .option("--folder <folder>", "where to write them; by default the folder KAMADO_HANDLERS")
    .option("--dry-run", "only say what would be written")
    .option("--json", "print the paths as one JSON line")
    .action(async (kind: string, _, command: Command) => {
      nameMistypedVariables();
      const flags = flagsOf(command);
      const isDry = flags.dryRun === true;
      const made = await plan(kind, typeof flags.folder === "string" ? flags.folder : undefined);
      if (!isDry) await writeAll(made.files);
      const { folder, files } = made;
      if (flags.json === true)
        process.stdout.write(
          `${JSON.stringify({ kind, folder, files: [...files.keys()], written: !isDry })}\n`,
        );
      else process.stdout.write(view(kind, made, isDry));
    });
}

type Plan = { folder: string; configured: string | undefined; files: Map<string, string> };

/** Throws before anything is written: `invalid_input` for the kind, `config_invalid` for the folder. */
async function plan(kind: string, given: string | undefined): Promise<Plan> {
  checkKind(kind);
  const configured = ownHandlersFolder();
  const folder = folderOf(given, configured);
  const name = kind.replaceAll(".", "-");
  const inFolder = existsSync(folder) ? await handlerFiles(folder) : [];
  const taken = [...(await handlerFiles(HANDLERS)), ...inFolder].find((file) => kindOfFile(file) === kind);
  if (taken) throw new KamadoError("invalid_input", `kind: ${kind} is there already: ${shown(taken)}.`);
  const files = new Map([
    [join(folder, `${name}.ts`), handlerText(kind)],
    [join(folder, `${name}.test.ts`), testText(kind, name)],
  ]);
  for (const file of files.keys()) if (existsSync(file)) throw isThere(file);
  for (const [file, text] of Object.entries(FOR_EDITORS))
    if (!existsSync(join(folder, file))) files.set(join(folder, file), text);
  return { folder, configured, files };
}

const KIND = /^[a-z][a-z0-9]*(\.[a-z0-9]+)*$/;
const LONGEST = 100;

function checkKind(kind: string): void {
  if (KIND.test(kind) && kind.length <= LONGEST) return;
  const meant = kind
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, ".")
    .replace(/^[.0-9]+|\.+$/g, "")
    .slice(0, LONGEST);
  throw new KamadoError(
    "invalid_input",
    `kind: "${printable(kind, { max: LONGEST })}" cannot be the name of a kind.`,
    {
      hint: `Use small letters and digits in words that are joined by dots${KIND.test(meant) ? `, such as ${meant}` : ", such as mood.read"}.`,
    },
  );
}

function folderOf(given: string | undefined, configured: string | undefined): string {
  const folder = given === undefined ? configured : resolve(given);
  if (folder === undefined)
    throw new KamadoError("config_invalid", "--folder: there is no folder for handlers of your own yet.", {
      hint: "Name one outside of Kamado's own, such as --folder ~/kamado-handlers.",
    });
  if (folder === HOME || !relative(HANDLERS, folder).startsWith(".."))
    throw new KamadoError("config_invalid", `--folder: ${folder} is a folder of Kamado itself.`, {
      hint: "Name a folder outside of it, so that an update of Kamado does not touch your handlers.",
    });
  return folder;
}

const isThere = (file: string) =>
  new KamadoError("config_invalid", `${file}: it is there already, and stays as it is.`, {
    hint: "Edit it, move it away, or choose another kind.",
  });

/** All of them or none. */
async function writeAll(files: Map<string, string>): Promise<void> {
  const written: string[] = [];
  try {
    for (const [file, text] of files) {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text, { flag: "wx" });
      written.push(file);
    }
  } catch (cause) {
    for (const file of written) rmSync(file, { force: true });
    const { code, path = "" } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST") throw isThere(path);
    const error = code === "ENOSPC" || code === "EDQUOT" ? "disk_full" : "config_invalid";
    throw new KamadoError(error, `${path}: it cannot be written (${code}); nothing was.`, { cause });
  }
}

/** A second line of a step. */
const BELOW = "\n     ";

function view(kind: string, { folder, configured, files }: Plan, isDry: boolean): string {
  const [handler, test] = [...files.keys()].map(shellWord);
  const steps = [
    ...(isOfModules(folder)
      ? []
      : [`set "type": "module" in ${join(folder, "package.json")}, for editors and tsc`]),
    ...(files.has(join(folder, "tsconfig.json")) || knowsKamado(folder) ? [] : [forOwnConfig(folder)]),
    ...(configured === folder
      ? []
      : [`export KAMADO_HANDLERS=${shellWord(folder)}${BELOW}or in kamado.toml: handlers = "${folder}"`]),
    `edit ${handler}`,
    `./kamado test ${test}`,
    `echo '{"text": "At last!"}' | ./kamado run ${kind} --input -`,
    "./kamado serve --watch    # reloads it whenever you save it",
  ];
  const list = [...files.keys()].map((file) => `  ${file}`).join("\n");
  const next = steps.map((step, index) => `  ${index + 1}. ${step}`).join("\n");
  return `${isDry ? "Would write" : "Written"}:\n${list}\n\nNext:\n${next}\n`;
}

/** `npm init` writes something else. Kamado runs the handler all the same. */
function isOfModules(folder: string): boolean {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).type === "module";
  } catch (thrown) {
    // Ours, which --dry-run has not written.
    return (thrown as NodeJS.ErrnoException).code === "ENOENT";
  }
}

/** Also where it says so through another file that it extends, as far as its own text tells. */
function knowsKamado(folder: string): boolean {
  try {
    const text = readFileSync(join(folder, "tsconfig.json"), "utf8");
    return text.includes("kamado/handler") || text.includes('"extends"');
  } catch {
    return false;
  }
}

function forOwnConfig(folder: string): string {
  const missing = { noEmit: true, allowImportingTsExtensions: true, paths: PATHS };
  return `for editors and tsc, add to compilerOptions in ${join(folder, "tsconfig.json")}: ${JSON.stringify(missing).slice(1, -1)}`;
}

const handlerText = (kind: string) => `// The kind ${kind}. Each job runs \`run\` once, like a Lambda.
import { defineHandler } from "kamado/handler";
import { z } from "zod";

export default defineHandler({
  kind: "${kind}",
  summary: "Says how a sentence sounds.",
  // What a sender sends. What does not fit is refused, and its sender is told which field is wrong.
  input: z.strictObject({ text: z.string().trim().min(1).max(2_000) }),
  // What the job's result holds.
  output: z.strictObject({ mood: z.enum(["happy", "angry", "neutral", "uncertain"]) }),

  async run({ text }, { model }) {
    const { choice } = await model.decide({
      // Written by you. What comes from outside belongs into \`content\`, where it cannot give orders to the model.
      instructions: "What emotion does the sentence express?",
      content: text,
      options: ["happy", "angry", "neutral"],
      // A less probable choice is "uncertain".
      threshold: 0.35,
    });
    return { mood: choice };
  },
});
`;

const testText = (
  kind: string,
  name: string,
) => `// \`./kamado test\` runs it: no model, no queue. The answers of the model stand in the test.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runHandler } from "kamado/testing";
import handler from "./${name}.ts";

test("${kind} names the mood that the model prefers", async () => {
  const { output, asked } = await runHandler(
    handler,
    { text: "At last!" },
    { decide: () => ({ happy: 0.9, angry: 0.05, neutral: 0.05 }) },
  );
  assert.deepEqual(output, { mood: "happy" });
  assert.equal(asked[0]?.content, "At last!");
});

test("${kind} says so when the model is not sure", async () => {
  const script = { decide: () => ({ happy: 0.34, angry: 0.33, neutral: 0.33 }) };
  assert.deepEqual((await runHandler(handler, { text: "Hm." }, script)).output, { mood: "uncertain" });
});

test("${kind} refuses a sentence without words", () => {
  assert.equal(handler.input.safeParse({ text: " " }).success, false);
});
`;

const inHome = (path: string) => join(HOME, path);
const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

/** The same names as handler-imports.ts offers, for the type checker. */
const PATHS = {
  "kamado/handler": [inHome("worker/job/handler.ts")],
  "kamado/testing": [inHome("testing/testing.ts")],
  zod: [inHome("node_modules/zod/index.d.cts")],
  "zod/*": [inHome("node_modules/zod/*/index.d.cts")],
};

const FOR_EDITORS: Record<string, string> = {
  "package.json": json({ private: true, type: "module" }),
  "tsconfig.json": json({
    compilerOptions: {
      target: "es2024",
      lib: ["es2024", "esnext.disposable", "dom"],
      module: "nodenext",
      noEmit: true,
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      erasableSyntaxOnly: true,
      allowImportingTsExtensions: true,
      allowJs: true,
      resolveJsonModule: true,
      skipLibCheck: true,
      types: ["node"],
      typeRoots: [inHome("node_modules/@types")],
      paths: PATHS,
    },
  }),
};
