// Examples at the end of a command's --help: each line is one that works as it stands.
import type { Command } from "commander";

/** `lines` without the program's name; what follows a `#` says what the line does. */
export const examples = (command: Command, lines: readonly string[]): Command =>
  command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ./kamado ${line}`).join("\n")}`);
