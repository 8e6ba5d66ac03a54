// The configuration of a command, and on the terminal what its owner should hear about it.
import { type Config, loadConfig, mistypedVariables, type Variables } from "../config/config.ts";
import { paint } from "../logging/terminal.ts";

/** `flags` take precedence over the environment, and that over kamado.toml. Throws `config_invalid`. */
export function configOf(flags: Variables = {}): Config {
  const config = loadConfig(flags);
  say(config.warnings);
  return config;
}

/** For a command that needs no configuration, and works with one that is wrong. */
export const nameMistypedVariables = (): void => say(mistypedVariables());

function say(warnings: readonly string[]): void {
  for (const warning of warnings)
    process.stderr.write(
      `${paint("yellow", "kamado", process.stderr)}: ${paint([], warning, process.stderr)}\n`,
    );
}
