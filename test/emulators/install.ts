// `npm run emulators`: installs the AWS emulators, what checks infra/template.yaml, and the clients of the engine's API into
// node_modules/.cache. What cannot be installed is reported with the reason, but is not a failure: the tests that need it are skipped.
import { execFile } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { JAVASCRIPT, markInstalled, prepareJavascript, whyNoJavascript } from "../clients/installed.ts";
import { IMAGE, pullImage } from "./container.ts";
import {
  CLIENTS,
  EMULATORS,
  OPENAI,
  type Pinned,
  pythonOf,
  RADICALE,
  stampOf,
  TEMPLATE_CHECKS,
  whyNot,
} from "./emulators.ts";

// A registry that does not answer must not delay the tests for long.
const MINUTES = 4;

type Command = { command: string; variables?: Record<string, string> };

/** Null when it succeeded. Otherwise the last line of its error output. */
function run({ command, variables = {} }: Command, args: readonly string[]): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const options = { env: { ...process.env, ...variables }, timeout: MINUTES * 60_000 };
  execFile(command, args, options, (error, _, errors) =>
    resolve(error && (errors.trim().split("\n").at(-1) || error.message)),
  );
  return promise;
}

/** The first Python that is new enough. The variable is for pyenv's shims; other Pythons ignore it. */
async function pythonFor({ python }: Pinned): Promise<Command | undefined> {
  const named = [13, 12, 14].map((minor) => ({
    command: `python3.${minor}`,
    variables: { PYENV_VERSION: `3.${minor}` },
  }));
  const isNewEnough = `import sys, venv, ensurepip; sys.exit(sys.version_info < (3, ${python}))`;
  for (const one of [{ command: "python3" }, ...named])
    if ((await run(one, ["-c", isNewEnough])) === null) return one;
  return undefined;
}

async function install(wanted: Pinned): Promise<string | null> {
  rmSync(wanted.folder, { recursive: true, force: true });
  const python = await pythonFor(wanted);
  if (!python) return `there is no Python 3.${wanted.python} or newer`;
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted.requirements];
  const failure =
    (await run(python, ["-m", "venv", wanted.folder])) ?? (await run({ command: pythonOf(wanted) }, pip));
  if (failure === null) copyFileSync(wanted.requirements, stampOf(wanted));
  else rmSync(wanted.folder, { recursive: true, force: true });
  return failure;
}

async function installJavascript(): Promise<string | null> {
  prepareJavascript();
  const npm = ["install", "--prefix", JAVASCRIPT, "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
  const failure = await run({ command: "npm" }, npm);
  if (failure === null) markInstalled();
  return failure;
}

async function report(
  name: string,
  missing: string | null,
  install: () => Promise<string | null>,
): Promise<void> {
  if (missing === null) return console.log(`${name}: installed`);
  const began = performance.now();
  const failure = await install();
  const took = `${((performance.now() - began) / 1_000).toFixed(0)} s`;
  console.log(`${name}: ${failure === null ? `installed in ${took}` : `not installed (${failure})`}`);
}

await Promise.all([
  ...[...Object.values(EMULATORS), RADICALE, TEMPLATE_CHECKS, OPENAI, CLIENTS].map((one) =>
    report(one.name, whyNot(one), () => install(one)),
  ),
  report("the Vercel AI SDK", whyNoJavascript(), installJavascript),
]);
const tooLong = pause(MINUTES * 60_000, "the registry took too long", { ref: false });
const missing = await Promise.race([pullImage(), tooLong]);
console.log(`${IMAGE}: ${missing === null ? "here" : `not here (${missing})`}`);
// A container engine that hangs during a pull must not delay what comes next.
process.exit(0);
