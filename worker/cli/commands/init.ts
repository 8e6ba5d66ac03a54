// `kamado init`: writes a kamado.toml in which every setting is explained. It never replaces one.
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { HOME, userConfigPath } from "../../config/config.ts";
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
      const path = flagsOf(command).user === true ? userConfigPath() : resolve(CONFIG_FILE);
      await write(path, configTemplate(await readFile(join(HOME, "docs/settings.md"), "utf8")));
      process.stdout.write(`${path} is written; every setting in it is commented out.\n`);
    });
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
