// `kamado test`: runs the tests of handlers with Node's own test runner, each file in a process of its own.
import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { run } from "node:test";
import { spec, tap } from "node:test/reporters";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { HOME, ownHandlersFolder } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { EXIT } from "../../logging/terminal.ts";
import { nameMistypedVariables } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";

export function testCommand(): Command {
  return examples(new Command("test"), [
    "test    # all tests of the folder KAMADO_HANDLERS",
    "test ~/kamado-handlers/mood-read.test.ts",
    "test ~/kamado-handlers --only 'not sure'",
  ])
    .argument("[files...]", "test files, or folders with them; by default the folder KAMADO_HANDLERS")
    .description("run the tests of handlers; the model in them answers from a script")
    .option("--only <pattern>", "only tests whose name matches this regular expression")
    .option("--tap", "print the results in TAP, for a program")
    .action(async (given: string[], _, command: Command) => {
      nameMistypedVariables();
      const { only, tap: isTap } = flagsOf(command);
      const files = await testFiles(given);
      const hasFailed = await runTests(
        files,
        only === undefined ? undefined : pattern(String(only)),
        isTap === true,
      );
      process.exitCode = hasFailed ? EXIT.failed : EXIT.ok;
    });
}

const TEST_FILE = /\.test\.m?[jt]s$/;

/** Throws `config_invalid` when there is nothing to run: a test that does not run must not look like one that passed. */
async function testFiles(given: readonly string[]): Promise<string[]> {
  const folder = ownHandlersFolder();
  if (given.length === 0 && folder === undefined)
    throw new KamadoError(
      "config_invalid",
      "There is no test to run: no file is named, and KAMADO_HANDLERS is not set.",
      {
        hint: "Name a test or its folder: `kamado test ~/kamado-handlers`.",
      },
    );
  const places = given.length > 0 ? given.map((one) => resolve(one)) : [folder!];
  return (await Promise.all(places.map(testsAt))).flat();
}

async function testsAt(place: string): Promise<string[]> {
  if (!existsSync(place))
    throw new KamadoError("config_invalid", `${place}: there is no such file or folder.`);
  if (!statSync(place).isDirectory()) return [place];
  const names = (await readdir(place)).filter((name) => TEST_FILE.test(name)).toSorted();
  if (names.length > 0) return names.map((name) => join(place, name));
  throw new KamadoError("config_invalid", `${place}: it has no tests.`, {
    hint: "A test of mood-read.ts is called mood-read.test.ts; `kamado new` writes both.",
  });
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new KamadoError("config_invalid", `--only: ${(cause as Error).message}.`, { cause });
  }
}

/** Whether one of them failed. */
async function runTests(files: string[], only: RegExp | undefined, isTap: boolean): Promise<boolean> {
  // What a handler imports from Kamado is not installed beside it.
  const offer = pathToFileURL(join(HOME, "testing/offer-modules.ts")).href;
  const tests = run({
    files,
    concurrency: true,
    execArgv: ["--import", offer],
    ...(only && { testNamePatterns: [only] }),
  });
  let hasFailed = false;
  let count = 0;
  // Node counts a file without tests as one that passed.
  const counting = ({ name }: { name: string }) => (count += files.includes(name) ? 0 : 1);
  tests.on("test:pass", counting);
  tests.on("test:fail", (event) => {
    counting(event);
    hasFailed ||= event.todo === undefined || event.todo === false;
  });
  const shown = isTap ? tests.compose(tap) : tests.compose(new spec());
  shown.pipe(process.stdout, { end: false });
  await finished(shown);
  if (count > 0 || hasFailed) return hasFailed;
  throw new KamadoError(
    "config_invalid",
    only ? `--only: no test has a name like ${only.source}.` : "There is no test in these files.",
  );
}
