// What stands at the end of a command's --help: examples, each a line that works as it is, and what else has to be known.
import type { Command } from "commander";
import { wrap } from "../logging/terminal.ts";

/** `lines` without the program's name; what follows a `#` says what the line does. */
export const examples = (command: Command, lines: readonly string[]): Command =>
  command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ./kamado ${line}`).join("\n")}`);

/** Sentences, in lines that fit every terminal. */
export const notes = (command: Command, text: string): Command =>
  command.addHelpText("after", `\n${wrap(text, 80)}`);
