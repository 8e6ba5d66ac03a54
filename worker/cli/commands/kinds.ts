// `kamado kinds`: the kinds of jobs that this Kamado knows; with a name, what its input and output look like as JSON Schema.
import { Command, Help } from "commander";
import { HANDLERS, ownHandlersFolder } from "../../config/config.ts";
import type { Handler } from "../../job/handler.ts";
import { schemasOf } from "../../job/kind-schemas.ts";
import { handlerOf, loadRegistry } from "../../job/registry.ts";
import { paint, terminalWidth } from "../../logging/terminal.ts";
import { printable, printableJson } from "../../printable.ts";
import { nameMistypedVariables } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";

export function kindsCommand(): Command {
  return examples(new Command("kinds"), ["kinds", "kinds image.check", "kinds prompt --json | jq .input"])
    .argument("[kind]", "one kind: everything about it")
    .description("list the kinds of jobs, or show what one takes and gives")
    .option("--json", "print one JSON line for each kind, with its schemas")
    .action(async (kind: string | undefined, _, command: Command) => {
      nameMistypedVariables();
      // Of a broken handler the summary says what is wrong with it.
      const registry = await loadRegistry(HANDLERS, () => {}, ownHandlersFolder());
      const all = kind === undefined ? [...registry.values()] : [handlerOf(registry, kind)];
      const print = (text: string) => void process.stdout.write(`${text}\n`);
      if (flagsOf(command).json === true) for (const one of all) print(printableJson(schemasOf(one)));
      else print(kind === undefined ? viewAll(all) : viewOne(all[0]!));
    });
}

/** As in a help: what does not fit beside the kind goes on in the next line, so that nobody misses the end. */
function viewAll(all: readonly Handler[]): string {
  const help = Object.assign(new Help(), { helpWidth: terminalWidth() });
  const longest = Math.max(...all.map(({ kind }) => kind.length));
  const rows = all.map(({ kind, summary }) => help.formatItem(kind, longest, printable(summary), help));
  return `${rows.join("\n")}\n\n\`kamado kinds NAME\` shows what a kind takes and gives.`;
}

function viewOne(handler: Handler): string {
  const { kind, summary, input, output } = schemasOf(handler);
  const part = (title: string, schema: object) => `\n${paint("dim", title)}\n${printableJson(schema, 2)}`;
  return `${paint("bold", kind)}  ${summary}\n${part("input", input)}\n${part("output", output)}`;
}
