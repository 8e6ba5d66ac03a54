// The command line: one file a command; this one finds the one that is called and turns errors into words and exit codes.
import { Command } from "commander";
import { toKamadoError } from "../errors.ts";
import { EXIT, paint } from "../logging/terminal.ts";

// Only the command that is called is loaded: a worker need not carry the embedded AWS in its memory.
const COMMANDS: Record<string, () => Promise<Command>> = {
  serve: async () => (await import("./commands/serve.ts")).serveCommand(),
  worker: async () => (await import("./commands/worker.ts")).workerCommand(),
  engine: async () => (await import("./commands/engine.ts")).engineCommand(),
  run: async () => (await import("./commands/run.ts")).runCommand(),
  enqueue: async () => (await import("./commands/enqueue.ts")).enqueueCommand(),
  cancel: async () => (await import("./commands/cancel.ts")).cancelCommand(),
  dead: async () => (await import("./commands/dead.ts")).deadCommand(),
  demo: async () => (await import("./commands/demo.ts")).demoCommand(),
  bench: async () => (await import("./commands/bench.ts")).benchCommand(),
};

async function main(name: string | undefined): Promise<void> {
  const program = new Command("kamado")
    .description("A Mac mini at home as a Lambda for local LLM jobs.")
    .showHelpAfterError("(kamado --help lists the commands)")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage));
  const called = name !== undefined && COMMANDS[name] ? [COMMANDS[name]] : Object.values(COMMANDS);
  for (const load of called) program.addCommand(inherit(await load(), program));
  await program.parseAsync();
}

/** Settings reach a command that is added, and not by themselves its own commands. */
function inherit(command: Command, from: Command): Command {
  for (const inner of command.commands) inherit(inner, from);
  return command.copyInheritedSettings(from);
}

try {
  await main(process.argv[2]);
} catch (thrown) {
  const error = toKamadoError(thrown, "handler_failed");
  process.stderr.write(`${paint("red", `kamado: ${error.code}`, process.stderr)}: ${error.message}\n`);
  // What has no code of its own is a fault of ours: then its place matters.
  process.stderr.write(
    `${error === thrown ? error.hint : error.cause instanceof Error ? error.cause.stack : ""}\n`,
  );
  process.exit(error.status < 500 || error.code === "config_invalid" ? EXIT.usage : EXIT.unavailable);
}
