// `kamado init`: writes a kamado.toml in which every setting is explained. It never replaces one, and never hides the one that counts.
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { configFilePath, HOME, userConfigPath } from "../../config/config.ts";
import { CONFIG_FILE } from "../../config/config-file.ts";
import { configTemplate } from "../../config/template.ts";
import { KamadoError } from "../../errors.ts";
import { makeFolder } from "../../make-folder.ts";
import { nameMistypedVariables } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";

export function initCommand(): Command {
  return examples(new Command("init"), ["init", "init --user"])
    .description("write a kamado.toml with every setting and its default, all commented out")
    .option("--user", "for all folders of yours, in ~/.config/kamado, instead of the current folder")
    .action(async (_, command: Command) => {
      nameMistypedVariables();
      const isForUser = flagsOf(command).user === true;
      const path = isForUser ? userConfigPath() : resolve(CONFIG_FILE);
      if (!isForUser) refuseToHide(configFilePath(), path);
      await write(path, await allSettings());
      process.stdout.write(`${path} is written; every setting in it is commented out.\n`);
    });
}

/** Every setting and its default, all commented out. */
export const allSettings = async (): Promise<string> =>
  configTemplate(await readFile(join(HOME, "docs/settings.md"), "utf8"));

/** Only the nearest file counts: an empty one in this folder would undo what is set, such as the model of `kamado model use`. */
function refuseToHide(counts: string | undefined, path: string): void {
  if (counts === undefined || resolve(counts) === path) return;
  throw new KamadoError(
    "config_invalid",
    `${counts} holds the settings here; beside ${path} it would not count any more.`,
    { hint: "Edit that file. If this folder needs settings of its own, copy it here first." },
  );
}

async function write(path: string, text: string): Promise<void> {
  try {
    makeFolder(dirname(path));
    await writeFile(path, text, { flag: "wx", mode: 0o600 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // What a full disk left of it would count as a file that is there already.
    if (code === "ENOSPC" || code === "EDQUOT") {
      await rm(path, { force: true });
      throw new KamadoError("disk_full", `${path}: it cannot be written, because the disk is full.`, {
        cause,
      });
    }
    const why =
      code === "EEXIST" ? "it is there already, and stays as it is" : `it cannot be written (${code})`;
    const hint =
      code === "EEXIST"
        ? "Edit it, or move it away and run init again; docs/settings.md explains every setting."
        : "Run init in a folder that you may write to.";
    throw new KamadoError("config_invalid", `${path}: ${why}.`, { cause, hint });
  }
}
