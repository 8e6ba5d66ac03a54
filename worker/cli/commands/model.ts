// `kamado model`: lists, pulls, removes and uses models. What is downloaded and checked is in engine/download/, how it is printed in
// model-view.ts.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { sizeWords } from "../../amounts.ts";
import { systemClock } from "../../async/clock.ts";
import { type Config, configFilePath, userConfigPath } from "../../config/config.ts";
import { withModel } from "../../config/config-edit.ts";
import { readSettingsFile, replaceSettingsFile } from "../../config/settings-file.ts";
import { refuseWhileLocked } from "../../engine/download/lock.ts";
import { pullModel } from "../../engine/download/pull.ts";
import { Requests } from "../../engine/download/requests.ts";
import { sourceOf } from "../../engine/download/source.ts";
import { KamadoError } from "../../errors.ts";
import { paint, prose } from "../../logging/terminal.ts";
import { nearestModel } from "../../models/catalogue.ts";
import {
  findInstalled,
  type Installed,
  installedModels,
  modelsFolder,
  unfinishedModels,
} from "../../models/installed.ts";
import { printable, printableJson } from "../../printable.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { type Flags, flagsOf, toVariables } from "../flags.ts";
import { findEngine, findService } from "../running-service.ts";
import { allSettings } from "./init.ts";
import { factsOfAll, PullProgress, viewModels, viewPulled } from "./model-view.ts";

const EXAMPLES = [
  "model",
  "model pull qwen3-vl-4b",
  "model pull hf:ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf",
  "model pull https://nas.home/m.gguf --mmproj https://nas.home/p.gguf",
  "model use qwen3-vl-4b    # KAMADO_MODEL for one start alone",
  "model remove qwen3-vl-4b --yes",
];

const HELP = `Models are kept in KAMADO_DATA_DIR/models. HF_TOKEN is for models that need an account; it is sent to HF_ENDPOINT and nowhere else.
Exit codes: 0 done, 2 wrong usage, 3 the model cannot be fetched, or the disk or the memory is too small, 130 interrupted.`;

export function modelCommand(): Command {
  const model = notes(examples(new Command("model"), EXAMPLES), HELP).description(
    "list, download, remove and choose models",
  );
  withDataDir(model.command("list", { isDefault: true }))
    .description("list the models that are here and those of the catalogue")
    .option("--json", "print one JSON line for each model")
    .action((_, command: Command) => list(flagsOf(command)));
  withDataDir(
    examples(
      model.command("pull <model>"),
      EXAMPLES.filter((line) => line.startsWith("model pull")),
    ),
  )
    .description(
      "download a model of the catalogue, hf:owner/repo/file.gguf or an address; the same again continues",
    )
    .option("--name <name>", "what to call it here; by default its name in the catalogue, or the file's")
    .option("--mmproj <source>", "its projector: a file of the same repository, hf:…, an address, or none")
    .option("--sha256 <hex>", "the checksum that the model's file must have")
    .option(
      "--memory-limit <size>",
      "compare with this instead of this machine's memory (KAMADO_MEMORY_LIMIT)",
    )
    .option("--force", "download it although this machine has too little memory for it")
    .option("--dry-run", "only read the headers and compare with disk and memory; nothing is kept")
    .option("--json", "print one JSON line about the model at the end")
    .action((source: string, _, command: Command) => pull(source, flagsOf(command)));
  withDataDir(model.command("remove <name>"))
    .description("delete a model with its projector, or what an interrupted download left")
    .option("--yes", "do not ask")
    .option("--dry-run", "only say what would be deleted")
    .action((name: string, _, command: Command) => remove(name, flagsOf(command)));
  withDataDir(model.command("use <name>"))
    .description("write the model into kamado.toml, the one that counts here or else the user's own")
    .option("--dry-run", "only say what would be written")
    .action((name: string, _, command: Command) => use(name, flagsOf(command)));
  return model;
}

const withDataDir = (command: Command) =>
  command.option("--data-dir <folder>", "where Kamado keeps its data (KAMADO_DATA_DIR)");

const print = (text: string) => void process.stdout.write(`${text}\n`);
const note = (text: string) => void process.stderr.write(`${prose(printable(text), process.stderr)}\n`);
const nameIn = (path: string) => printable(path);

/** `--mmproj` is a source here, and no setting. */
const configFor = ({ dataDir, memoryLimit }: Flags): Config =>
  configOf(toVariables({ dataDir, memoryLimit }));

function list(flags: Flags): void {
  const { dataDir, engine } = configFor(flags);
  const here = { installed: installedModels(dataDir), unfinished: unfinishedModels(dataDir) };
  if (flags.json === true) for (const facts of factsOfAll(here, engine.model)) print(printableJson(facts));
  else print(viewModels(here, engine.model, nameIn(modelsFolder(dataDir))));
}

async function pull(asked: string, flags: Flags): Promise<void> {
  const { dataDir, huggingFace, engine } = configFor(flags);
  const text = (flag: string) => (typeof flags[flag] === "string" ? flags[flag] : undefined);
  const { endpoint, token } = huggingFace;
  const question = { source: asked, name: text("name"), mmproj: text("mmproj"), sha256: text("sha256") };
  const names = installedModels(dataDir).map(({ name }) => name);
  const source = sourceOf(question, endpoint, names);
  const requests = new Requests({ endpoint, token: token?.reveal() });
  const interrupted = new AbortController();
  const stop = () => interrupted.abort(new KamadoError("canceled", "Interrupted."));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const progress = new PullProgress(flags.json === true ? process.stderr : process.stdout);
  try {
    const pulled = await pullModel(source, {
      dataDir,
      requests,
      signal: interrupted.signal,
      clock: systemClock,
      wantsProjector: question.mmproj !== "none",
      dryRun: flags.dryRun === true,
      force: flags.force === true,
      memoryLimit: engine.memoryLimit,
      onProgress: (...step) => progress.update(...step),
      say: (line) => progress.say(line),
    });
    progress.end();
    if (flags.json === true) print(printableJson({ is: pulled.is, ...pulled.manifest }));
    else print(viewPulled(pulled));
  } catch (thrown) {
    progress.end();
    if (!interrupted.signal.aborted) throw thrown;
    throw new KamadoError("canceled", whatIsLeft(dataDir, source.name), {
      hint: "The same command continues; `kamado model remove` deletes what is here.",
    });
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, stop);
    await requests.close();
  }
}

function whatIsLeft(dataDir: string, name: string): string {
  const left = unfinishedModels(dataDir).find((one) => one.name === name);
  return left === undefined
    ? "Interrupted; nothing was downloaded."
    : `Interrupted; ${sizeWords(left.bytes)} of ${name} are here.`;
}

async function remove(asked: string, flags: Flags): Promise<void> {
  const config = configFor(flags);
  const { dataDir, engine } = config;
  const installed = findInstalled(dataDir, asked);
  const name = installed?.name ?? asked;
  const unfinished = unfinishedModels(dataDir).find((one) => one.name === name);
  const bytes = installed?.bytes ?? unfinished?.bytes;
  if (bytes === undefined) throw notHere(name, dataDir);
  const path =
    installed && installed.manifest === undefined ? installed.model : join(modelsFolder(dataDir), name);
  await refuseWhileLocked(path, name);
  if (installed !== undefined) await refuseWhileUsed(installed, config);
  if (flags.dryRun === true) return print(`${nameIn(path)} would be deleted: ${sizeWords(bytes)}.`);
  if (!(await isMeant(`Delete ${nameIn(path)}, ${sizeWords(bytes)}?`, flags)))
    return print("Nothing was deleted.");
  await rm(path, { recursive: true, force: true });
  print(`${name} is deleted; ${sizeWords(bytes)} are free again.`);
  if (installed !== undefined && engine.model === installed.model)
    note(
      `${name} is still the model that KAMADO_MODEL or kamado.toml names; choose another with \`kamado model use\`.`,
    );
}

/** An engine goes on with a file that was deleted, and cannot start with it again. */
async function refuseWhileUsed({ name, model }: Installed, config: Config): Promise<void> {
  if (!(await modelsThatRun(config)).includes(model)) return;
  throw new KamadoError("model_busy", `${name} is the model of the Kamado that runs on this machine.`, {
    hint: "Choose another model with `kamado model use` and restart it, or stop it. Then run the command again.",
  });
}

/** Of a worker's engine, and of one by itself. */
async function modelsThatRun(config: Config): Promise<string[]> {
  const founds = [await findService(config), { is: "none" } as const];
  const engines = await Promise.all(founds.map((found) => findEngine(config, found)));
  return engines.flatMap((engine) => engine?.model ?? []);
}

async function isMeant(question: string, { yes }: Flags): Promise<boolean> {
  if (yes === true) return true;
  if (process.stdin.isTTY !== true)
    throw new KamadoError("invalid_input", "There is no terminal to ask at; give --yes.");
  const asking = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await asking.question(`${question} [y/N] `)).trim());
  } finally {
    asking.close();
  }
}

function notHere(name: string, dataDir: string): KamadoError {
  const here: Installed[] = installedModels(dataDir);
  const near = nearestModel(
    name,
    here.map((one) => one.name),
  );
  const pull = near !== undefined && findInstalled(dataDir, near) === undefined;
  const what =
    near === undefined
      ? ""
      : pull
        ? `; \`kamado model pull ${near}\` fetches ${near}`
        : `; did you mean ${near}?`;
  return new KamadoError("unknown_model", `The model ${name} is not here${what || "."}`, {
    hint: "`kamado model list` shows what is here.",
  });
}

async function use(name: string, flags: Flags): Promise<void> {
  const { dataDir } = configFor(flags);
  const found = findInstalled(dataDir, name);
  if (found === undefined) throw notHere(name, dataDir);
  const path = configFilePath() ?? userConfigPath();
  const before = await readSettingsFile(path);
  const after = withModel(before ?? (await allSettings()), found.name);
  if (after === undefined) throw byHand(path, found.name);
  if (flags.dryRun === true) return print(`${nameIn(path)} would say: model = "${found.name}"`);
  if (after !== before) await replaceSettingsFile(path, after);
  print(prose(`${nameIn(path)} says: model = "${found.name}". ${paint("green", "`npm start` runs it.")}`));
  const config = configFor(flags);
  const { engine } = config;
  if (engine.url !== undefined)
    note(`KAMADO_ENGINE_URL is set: the server at ${engine.url} runs its own model, not this one.`);
  else if (engine.model !== found.model || engine.mmproj !== found.mmproj)
    note(
      "KAMADO_MODEL, KAMADO_MMPROJ or KAMADO_BACKEND is set in the environment and takes precedence over the file.",
    );
  if ((await modelsThatRun(config)).some((model) => model !== found.model))
    note(
      "The Kamado that runs on this machine keeps its model until it is restarted: `kamado service restart`, or Ctrl-C and `npm start`.",
    );
}

const byHand = (path: string, name: string) =>
  new KamadoError(
    "config_invalid",
    `${path}: it is written in a way that one line cannot change; it stays as it is.`,
    {
      hint: `Set model = ${JSON.stringify(name)} in it yourself and remove mmproj, or set KAMADO_MODEL=${name}.`,
    },
  );
