// `kamado bench`: measures this machine. The tables and their flags are bench/'s own.
import { Command } from "commander";

export function benchCommand(): Command {
  return new Command("bench")
    .argument(
      "[name]",
      "engine, concurrency, end-to-end or memory; without it, what each has to say and its flags",
    )
    .argument("[flags...]", "the table's own flags; --json prints one JSON line at the end")
    .description(
      "measure this machine: the engine beside llama-server, concurrency, the worker's cost, memory",
    )
    .allowUnknownOption()
    .action(async () => {
      // Loaded here: no other command needs it.
      const { bench } = await import("../../bench/bench.ts");
      process.exitCode = await bench(process.argv.slice(3));
    });
}
