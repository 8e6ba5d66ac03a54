// The command line: runs one command, and turns an error into text and an exit code. Each command is a file in commands/.
import { Command } from "commander";
import { toKamadoError } from "../errors.ts";
import { EXIT, paint } from "../logging/terminal.ts";
import { printable } from "../printable.ts";

// Loads only the command that is called, so that a worker does not have the embedded AWS in memory.
const COMMANDS: Record<string, () => Promise<Command>> = {
  serve: async () => (await import("./commands/serve.ts")).serveCommand(),
  worker: async () => (await import("./commands/worker.ts")).workerCommand(),
  engine: async () => (await import("./commands/engine.ts")).engineCommand(),
  run: async () => (await import("./commands/run.ts")).runCommand(),
  enqueue: async () => (await import("./commands/enqueue.ts")).enqueueCommand(),
  cancel: async () => (await import("./commands/cancel.ts")).cancelCommand(),
  dead: async () => (await import("./commands/dead.ts")).deadCommand(),
  demo: async () => (await import("./commands/demo.ts")).demoCommand(),
  init: async () => (await import("./commands/init.ts")).initCommand(),
  bench: async () => (await import("./commands/bench.ts")).benchCommand(),
};

async function main(name: string | undefined): Promise<void> {
  const program = new Command("kamado")
    .description("Runs LLM jobs from a queue on your own machine, like a Lambda at home.")
    .showHelpAfterError("(run `kamado --help` for the list of commands)")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage));
  const called = name !== undefined && COMMANDS[name] ? [COMMANDS[name]] : Object.values(COMMANDS);
  for (const load of called) program.addCommand(inherit(await load(), program));
  await program.parseAsync();
}

/** Commander does not pass a program's settings on to the subcommands of a command. */
function inherit(command: Command, from: Command): Command {
  for (const inner of command.commands) inherit(inner, from);
  return command.copyInheritedSettings(from);
}

try {
  await main(process.argv[2]);
} catch (thrown) {
  const error = toKamadoError(thrown, "handler_failed");
  process.stderr.write(`${paint("red", `kamado: ${error.code}`, process.stderr)}: ${error.message}\n`);
  // An error without a code is a bug of ours, so its stack matters.
  process.stderr.write(
    `${error === thrown ? error.hint : error.cause instanceof Error ? printable(error.cause.stack ?? "", { lines: true }) : ""}\n`,
  );
  process.exit(error.status < 500 || error.code === "config_invalid" ? EXIT.usage : EXIT.unavailable);
}
