// The configuration of a command, and on the terminal what its owner should hear about it.
import { type Config, loadConfig, mistypedVariables, type Variables } from "../config/config.ts";
import { paint } from "../logging/terminal.ts";

/** `flags` take precedence over the environment, and that over kamado.toml. Throws `config_invalid`. */
export function configOf(flags: Variables = {}): Config {
  const config = loadConfig(flags);
  config.warnings.forEach(warn);
  return config;
}

/** For a command that needs no configuration, and works with one that is wrong. */
export const nameMistypedVariables = (): void => mistypedVariables().forEach(warn);

export function warn(words: string): void {
  const { stderr } = process;
  stderr.write(`${paint("yellow", "kamado", stderr)}: ${paint([], words, stderr)}\n`);
}
