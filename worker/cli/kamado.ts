// The command line: runs one command, and turns an error into text and an exit code. Each command is a file in commands/.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { missingPackage, stackOf, toKamadoError } from "../errors.ts";
import { EXIT, paint, prose } from "../logging/terminal.ts";
import { printable } from "../printable.ts";
import { leftOut } from "./left-out.ts";

// Loads only the command that is called, so that a worker does not have the embedded AWS in memory.
const COMMANDS: Record<string, () => Promise<Command>> = {
  serve: async () => (await import("./commands/serve.ts")).serveCommand(),
  worker: async () => (await import("./commands/worker.ts")).workerCommand(),
  engine: async () => (await import("./commands/engine.ts")).engineCommand(),
  research: async () => (await import("./commands/research.ts")).researchCommand(),
  run: async () => (await import("./commands/run.ts")).runCommand(),
  map: async () => (await import("./commands/map.ts")).mapCommand(),
  enqueue: async () => (await import("./commands/enqueue.ts")).enqueueCommand(),
  cancel: async () => (await import("./commands/cancel.ts")).cancelCommand(),
  dead: async () => (await import("./commands/dead.ts")).deadCommand(),
  read: async () => (await import("./commands/read.ts")).readCommand(),
  demo: async () => (await import("./commands/demo.ts")).demoCommand(),
  status: async () => (await import("./commands/status.ts")).statusCommand(),
  jobs: async () => (await import("./commands/jobs.ts")).jobsCommand(),
  kinds: async () => (await import("./commands/kinds.ts")).kindsCommand(),
  schedules: async () => (await import("./commands/schedules.ts")).schedulesCommand(),
  model: async () => (await import("./commands/model.ts")).modelCommand(),
  queue: async () => (await import("./commands/queue.ts")).queueCommand(),
  completion: async () => (await import("./commands/completion.ts")).completionCommand(),
  init: async () => (await import("./commands/init.ts")).initCommand(),
  new: async () => (await import("./commands/new.ts")).newCommand(),
  test: async () => (await import("./commands/test.ts")).testCommand(),
  setup: async () => (await import("./commands/setup.ts")).setupCommand(),
  doctor: async () => (await import("./commands/doctor.ts")).doctorCommand(),
  service: async () => (await import("./commands/service.ts")).serviceCommand(),
  uninstall: async () => (await import("./commands/uninstall.ts")).uninstallCommand(),
  bench: async () => (await import("./commands/bench.ts")).benchCommand(),
};

/** How the list of commands is divided. */
const GROUPS: Record<string, readonly string[]> = {
  "Start it:": ["demo", "serve", "worker", "engine"],
  "Give it jobs:": ["research", "read", "run", "map", "enqueue", "cancel", "kinds", "schedules"],
  "See what became of them:": ["status", "doctor", "jobs", "dead", "queue"],
  "Set it up:": ["init", "setup", "model", "service", "completion", "bench", "uninstall"],
  "Make kinds of your own:": ["new", "test"],
};

/** What a shell calls at every Tab. */
const COMPLETE = "complete";

const EXAMPLES = `
Examples:
  $ ./kamado serve             # what npm start runs
  $ ./kamado enqueue prompt --input '{"prompt": "Say hello"}' --wait
  $ ./kamado status
  $ ./kamado help enqueue      # flags, examples and exit codes of one command`;

const groupOf = (name: string): string =>
  Object.entries(GROUPS).find(([, names]) => names.includes(name))?.[0] ?? "Commands:";

async function main(name: string | undefined): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
  const program = new Command("kamado")
    .version(`${version} (Node ${process.version})`, "-V, --version")
    .addHelpText("after", EXAMPLES)
    .description("Runs LLM jobs from a queue on your own machine, like a Lambda at home.")
    .showHelpAfterError("(run `kamado --help` for the list of commands)")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage));
  const isVersion = name === "-V" || name === "--version";
  const called = isVersion
    ? []
    : name !== undefined && COMMANDS[name]
      ? [name]
      : Object.values(GROUPS).flat();
  for (const one of called)
    program.addCommand(inherit(await COMMANDS[one]!(), program).helpGroup(groupOf(one)));
  if (name === COMPLETE) (await import("./commands/completion.ts")).addCompletions(program);
  refuseUnknown(program, process.argv.slice(2));
  await program.parseAsync();
}

/** Commander shows the help of the program, and ends well, for a command that does not exist and --help. */
function refuseUnknown(command: Command, [name, ...rest]: readonly string[]): void {
  if (name === undefined || name.startsWith("-") || command.commands.length === 0) return;
  const inner = command.commands.find((one) => one.name() === name);
  if (inner) refuseUnknown(inner, rest);
  else if (name !== "help" && rest.some((flag) => flag === "--help" || flag === "-h"))
    command.error(`error: unknown command '${printable(name, { max: 60 })}'`);
}

/** Commander does not pass a program's settings on to the subcommands of a command. */
function inherit(command: Command, from: Command, parent = from.name()): Command {
  command.copyInheritedSettings(from);
  const path = `${parent} ${command.name()}`;
  command.showHelpAfterError(`(run \`${path} --help\` for its flags and examples)`);
  for (const inner of command.commands) inherit(inner, from, path);
  return command;
}

/** `kamado jobs | head -1`: who reads has enough. What runs until it is stopped has a listener of its own, and goes on. */
process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
  if (process.stdout.listenerCount("error") === 1)
    process.exit(code === "EPIPE" ? EXIT.ok : EXIT.unavailable);
});
process.stderr.on("error", () => {});

try {
  await main(process.argv[2]);
} catch (thrown) {
  const lacked = missingPackage(thrown);
  const reason = lacked === undefined ? thrown : leftOut(`the package ${lacked}`, thrown);
  const error = toKamadoError(reason, "handler_failed");
  const code = paint("red", `kamado: ${error.code}`, process.stderr);
  process.stderr.write(`${prose(`${code}: ${error.message}`, process.stderr)}\n`);
  // An error without a code is a bug, of ours or of a handler, so its stack matters.
  const hint = error === reason && error.hint !== undefined && prose(error.hint, process.stderr);
  for (const more of [stackOf(error), hint]) if (more) process.stderr.write(`${more}\n`);
  if (error.code === "canceled") process.exit(EXIT.interrupted);
  process.exit(error.status < 500 || error.code === "config_invalid" ? EXIT.usage : EXIT.unavailable);
}
