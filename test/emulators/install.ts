// Installs the emulators of AWS into node_modules/.cache: `npm run emulators`. One that cannot be had is named with its
// reason and no failure: the suites that need it are skipped with theirs.
import { execFile } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { IMAGE, pullImage } from "./container.ts";
import { EMULATORS, type Emulator, pythonOf, stampOf, whyNot } from "./emulators.ts";

// A registry that does not answer must not hold up the tests for long.
const MINUTES = 4;

type Command = { command: string; variables?: Record<string, string> };

/** Null when it went well; else the last words of what failed. */
function run({ command, variables = {} }: Command, args: readonly string[]): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const options = { env: { ...process.env, ...variables }, timeout: MINUTES * 60_000 };
  execFile(command, args, options, (error, _, said) =>
    resolve(error && (said.trim().split("\n").at(-1) || error.message)),
  );
  return promise;
}

/** The first Python that is new enough. The variable lets pyenv's stand-ins find theirs; others do not look at it. */
async function pythonFor({ python }: Emulator): Promise<Command | undefined> {
  const named = [13, 12, 14].map((minor) => ({
    command: `python3.${minor}`,
    variables: { PYENV_VERSION: `3.${minor}` },
  }));
  const isNewEnough = `import sys, venv, ensurepip; sys.exit(sys.version_info < (3, ${python}))`;
  for (const one of [{ command: "python3" }, ...named])
    if ((await run(one, ["-c", isNewEnough])) === null) return one;
  return undefined;
}

async function install(emulator: Emulator): Promise<string | null> {
  rmSync(emulator.folder, { recursive: true, force: true });
  const python = await pythonFor(emulator);
  if (!python) return `there is no Python 3.${emulator.python} or newer`;
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", emulator.requirements];
  const failure =
    (await run(python, ["-m", "venv", emulator.folder])) ?? (await run({ command: pythonOf(emulator) }, pip));
  if (failure === null) copyFileSync(emulator.requirements, stampOf(emulator));
  else rmSync(emulator.folder, { recursive: true, force: true });
  return failure;
}

async function report(emulator: Emulator): Promise<void> {
  if (whyNot(emulator) === null) return console.log(`${emulator.name}: installed`);
  const began = performance.now();
  const failure = await install(emulator);
  const took = `${((performance.now() - began) / 1_000).toFixed(0)} s`;
  console.log(
    `${emulator.name}: ${failure === null ? `installed in ${took}` : `not installed (${failure})`}`,
  );
}

await Promise.all(Object.values(EMULATORS).map(report));
const tooLong = pause(MINUTES * 60_000, "the registry took too long", { ref: false });
const missing = await Promise.race([pullImage(), tooLong]);
console.log(`${IMAGE}: ${missing === null ? "here" : `not here (${missing})`}`);
// An engine that hangs in the middle of a pull must not hold up the rest.
process.exit(0);
