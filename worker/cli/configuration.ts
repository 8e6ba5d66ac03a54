// The configuration of a command, and on the terminal what its owner should hear about it.
import { type Config, loadConfig, type Variables } from "../config/config.ts";
import { paint } from "../logging/terminal.ts";

/** `flags` take precedence over the environment, and that over kamado.toml. Throws `config_invalid`. */
export function configOf(flags: Variables = {}): Config {
  const config = loadConfig(flags);
  for (const warning of config.warnings)
    process.stderr.write(
      `${paint("yellow", "kamado", process.stderr)}: ${paint([], warning, process.stderr)}\n`,
    );
  return config;
}
