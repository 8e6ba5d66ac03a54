// `kamado engine`: serves a model over an OpenAI-compatible API, under a supervisor.
import { Command } from "commander";
import { loadConfig } from "../../config/config.ts";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { createLog } from "../../logging/log.ts";
import { paint } from "../../logging/terminal.ts";
import { engineOptions } from "../engine-options.ts";
import { flagsOf, modelFlags, toVariables } from "../flags.ts";
import { showCalibration } from "../show-calibration.ts";
import { untilStopped } from "../until-stopped.ts";
import { calibrateCommand } from "./engine-calibrate.ts";
import { installCommand } from "./engine-install.ts";

export function engineCommand(): Command {
  return modelFlags(new Command("engine"))
    .description("serve a model over an OpenAI-compatible API; it is restarted when it crashes or hangs")
    .option("--port <n>", "port to listen on (KAMADO_ENGINE_PORT)")
    .option("--context-size <tokens>", "context of one slot (KAMADO_CONTEXT_SIZE)")
    .option(
      "--max-queue <n>",
      "how many answers may wait for a slot; more get a 429; 64 by default (KAMADO_MAX_QUEUE)",
    )
    .option("--backend <name>", "auto, node-llama-cpp, llama-node, llama-server or scripted (KAMADO_BACKEND)")
    .option(
      "--llama-server <file>",
      "the llama-server program, instead of the installed one (KAMADO_LLAMA_SERVER)",
    )
    .option(
      "--script <file>",
      "what the scripted backend answers: a file, or wait=500,perToken=20,tokens=100 (KAMADO_SCRIPT)",
    )
    .addCommand(installCommand())
    .addCommand(calibrateCommand())
    .action(async (_, command: Command) => {
      const config = loadConfig({ ...toVariables(flagsOf(command)), KAMADO_ENGINE_URL: "" });
      const log = createLog({
        level: config.logLevel,
        pretty: process.stderr.isTTY,
        destination: process.stderr,
      });
      const engine = await openEngine(engineOptions(config), log);
      const stopped = untilStopped(() => process.exit(1));
      const info = await engine.ready();
      showCalibration(info);
      process.stdout.write(
        `${paint(["bold", "yellow"], "The engine is ready.")} ${engine.url}/v1  ${config.engine.model}\n`,
      );
      await stopped;
      await engine.stop();
    });
}
