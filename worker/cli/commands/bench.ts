// `kamado bench`: measures this machine. The tables and their flags are bench/'s own.
import { Command } from "commander";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { needFolder } from "../left-out.ts";

/** Each table answers --help itself. */
class BenchCommand extends Command {
  override copyInheritedSettings(from: Command): this {
    return super.copyInheritedSettings(from).helpOption(false);
  }
}

export function benchCommand(): Command {
  return examples(new BenchCommand("bench"), ["bench", "bench engine --help"])
    .argument(
      "[name]",
      "engine, identity, concurrency, end-to-end, memory, prefix-files, utilisation, idle, soak, batches, neighbours, pages, articles, research, fairness or scale; " +
        "without it, what each measures and its flags",
    )
    .argument(
      "[flags...]",
      "the table's own flags; --help names them, --json prints one JSON line at the end",
    )
    .description(
      "measure speed, memory and scaling on this machine; without a name it lists what can be measured",
    )
    .allowUnknownOption()
    .action(async () => {
      needFolder("bench");
      configOf();
      // Loaded here: no other command needs it.
      const { bench } = await import("../../../bench/bench.ts");
      process.exitCode = await bench(process.argv.slice(3));
    });
}
