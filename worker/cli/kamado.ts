// The command line: one file a command; this one only gathers them and turns errors into words and exit codes.
import { Command } from "commander";
import { toKamadoError } from "../errors.ts";
import { demoCommand } from "./demo.ts";
import { engineCommand } from "./engine.ts";
import { enqueueCommand } from "./enqueue.ts";
import { runCommand } from "./run.ts";
import { serveCommand } from "./serve.ts";
import { EXIT, paint } from "./terminal.ts";
import { workerCommand } from "./worker.ts";

const program = new Command("kamado")
  .description("A Mac mini at home as a Lambda for local LLM jobs.")
  .showHelpAfterError("(kamado --help lists the commands)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage));
for (const command of [serveCommand, workerCommand, engineCommand, runCommand, enqueueCommand, demoCommand])
  program.addCommand(command());

try {
  await program.parseAsync();
} catch (thrown) {
  const error = toKamadoError(thrown, "handler_failed");
  process.stderr.write(`${paint("red", `kamado: ${error.code}`, process.stderr)}: ${error.message}\n`);
  if (error !== thrown && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
  else process.stderr.write(`${error.hint}\n`);
  process.exit(error.status < 500 || error.code === "config_invalid" ? EXIT.usage : EXIT.unavailable);
}
