// What --help shows of every command, as somebody reads it on a terminal of 80 columns.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { expect, test } from "vitest";
import { examples, notes } from "../../worker/cli/examples.ts";

const COMMANDS = join(import.meta.dirname, "../../worker/cli/commands");

async function commands(): Promise<Command[]> {
  const found: Command[] = [];
  for (const file of readdirSync(COMMANDS))
    for (const [name, make] of Object.entries(await import(join(COMMANDS, file))))
      if (name.endsWith("Command") && typeof make === "function") found.push(make());
  return found;
}

const withInner = (command: Command): Command[] => [command, ...command.commands.flatMap(withInner)];

function helpOf(command: Command): string {
  const written: string[] = [];
  command.configureOutput({ writeOut: (text) => written.push(text), getOutHelpWidth: () => 80 });
  command.outputHelp();
  return written.join("");
}

test("the help of every command fits a terminal of 80 columns", async () => {
  const all = (await commands()).flatMap(withInner);
  expect(all.length).toBeGreaterThan(40);
  const wide = all.flatMap((command) =>
    helpOf(command)
      .split("\n")
      .filter((line) => line.length > 80)
      .map((line) => `${command.name()}: ${line}`),
  );
  expect(wide).toEqual([]);
});

test("notes break between words and keep their own lines, examples stay as they are", () => {
  const path = `/${"x".repeat(90)}`;
  const command = notes(examples(new Command("c"), ["c --all"]), `${"word ".repeat(20)}end.\nSee ${path}`);
  const [, after = ""] = helpOf(command).split("Examples:\n");
  expect(after.trimEnd().split("\n")).toEqual([
    "  $ ./kamado c --all",
    "",
    "word ".repeat(16).trimEnd(),
    "word word word word end.",
    "See",
    path,
  ]);
});
