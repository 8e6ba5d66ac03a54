// `kamado engine calibrate`: measures again how many requests at once this machine runs best with this model, and shows it.
import { Command } from "commander";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { KamadoError } from "../../errors.ts";
import { createLog } from "../../logging/log.ts";
import { configOf } from "../configuration.ts";
import { engineOptions } from "../engine-options.ts";
import { examples } from "../examples.ts";
import { engineFlags, flagsOf, toVariables } from "../flags.ts";
import { showCalibration } from "../show-calibration.ts";
import { untilStopped } from "../until-stopped.ts";

export function calibrateCommand(): Command {
  return examples(engineFlags(new Command("calibrate")), [
    "engine calibrate --model gemma-3-4b-it-Q4_K_M.gguf",
  ])
    .description("measure again how many requests at once suit this machine, and store the result")
    .action(async (_, command: Command) => {
      const variables = { ...toVariables(flagsOf(command)), KAMADO_ENGINE_URL: "", KAMADO_SLOTS: "auto" };
      // A free port, because another engine may use the configured one.
      const config = configOf({ ...variables, KAMADO_ENGINE_PORT: "0" });
      const log = createLog({
        level: config.logLevel,
        pretty: process.stderr.isTTY,
        destination: process.stderr,
      });
      const options = engineOptions(config);
      const engine = await openEngine({ ...options, slots: "auto", calibrate: "always" }, log);
      void untilStopped(() => process.exit(1)).then(() => engine.stop());
      const info = await engine.ready();
      await engine.stop();
      if (info?.calibration) return showCalibration(info);
      throw new KamadoError("engine_unavailable", "This model could not be measured; the log says why.");
    });
}
