// `kamado completion SHELL`: what a shell reads to complete commands, flags and kinds. The scripts and the answers to the shell are
// @bomb.sh/tab's; this file tells it about the commands and the kinds.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import completions from "@bomb.sh/tab";
import addCompletion from "@bomb.sh/tab/commander";
import { Argument, Command } from "commander";
import { HANDLERS, HOME, ownHandlersFolder } from "../../config/config.ts";
import { isHandlerFile, kindOfFile } from "../../job/registry.ts";
import { nameMistypedVariables } from "../configuration.ts";
import { examples } from "../examples.ts";
import { shellWord } from "../shell-word.ts";

export function completionCommand(): Command {
  return examples(new Command("completion"), [
    "completion zsh > ~/.zsh/_kamado    # in a folder of $fpath",
    "completion bash > ~/.local/share/bash-completion/completions/kamado",
    "completion fish > ~/.config/fish/completions/kamado.fish",
  ])
    .addArgument(new Argument("<shell>", "your shell").choices(["bash", "zsh", "fish"]))
    .description("print what your shell needs to complete kamado's commands, flags and kinds")
    .action((shell: string) => {
      nameMistypedVariables();
      // The scripts put it into a line of the shell.
      completions.setup("kamado", shellWord(join(HOME, "kamado")), shell);
    });
}

/** Adds the hidden command that a shell calls at every Tab. `program` has all its other commands. */
export function addCompletions(program: Command): void {
  const root = addCompletion(program);
  root.commands.delete("complete");
  for (const name of ["run", "map", "enqueue", "kinds"])
    for (const argument of root.commands.get(name)?.arguments.values() ?? [])
      argument.handler = (complete) => {
        for (const kind of kinds()) complete(kind, "");
      };
  for (const argument of root.commands.get("read")?.arguments.values() ?? [])
    argument.handler = (complete) => {
      for (const path of pathsLike(process.argv.at(-1) ?? "")) complete(path, "");
    };
}

/** The answer to the shell keeps it from looking for files itself. */
function pathsLike(begun: string): string[] {
  const folder = begun.slice(0, begun.lastIndexOf("/") + 1);
  try {
    const entries = readdirSync(folder || ".", { withFileTypes: true });
    return entries.map((entry) => `${folder}${entry.name}${entry.isDirectory() ? "/" : ""}`);
  } catch {
    return [];
  }
}

/** By the names of their files: to load them would take a second at every Tab. */
const kinds = () =>
  [HANDLERS, ...ownFolder()].flatMap((folder) => readdirSync(folder).filter(isHandlerFile).map(kindOfFile));

/** A shell that completes a line is no place for an error. */
function ownFolder(): string[] {
  try {
    const folder = ownHandlersFolder();
    return folder !== undefined && existsSync(folder) ? [folder] : [];
  } catch {
    return [];
  }
}
