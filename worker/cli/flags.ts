// The flags that several commands share, and how they become configuration: a flag takes precedence over its variable.
import { type Command, InvalidArgumentError } from "commander";
import type { Variables } from "../config/config.ts";

export type Flags = Record<string, string | boolean | number | string[] | undefined>;
export const flagsOf = (command: Command): Flags => command.optsWithGlobals();

/** Reads a flag's number. What is none ends the command and says what is allowed. */
export const numberFrom =
  (min: number, max: number, { whole = false } = {}) =>
  (text: string): number => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
    throw new InvalidArgumentError(`It must be a ${whole ? "whole " : ""}number from ${min} to ${max}.`);
  };

/** Reads a flag's address of the web. */
export function webAddress(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new InvalidArgumentError("It must be an address that begins with https:// or http://.");
}

/** Of a command that runs a worker. */
export const WATCH =
  "load handlers again when their files change; running jobs end on the code that they began with";

/** Of a command that asks a model, wherever that runs. */
export function modelFlags(command: Command): Command {
  return engineFlags(command).option(
    "--engine-url <url>",
    "use this OpenAI-compatible server instead of an engine of our own (KAMADO_ENGINE_URL)",
  );
}

/** Of a command that starts an engine of its own. */
export function engineFlags(command: Command): Command {
  return command
    .option("--model <file>", "the model: a GGUF file, or a name of `kamado model list` (KAMADO_MODEL)")
    .option("--mmproj <file>", "the model's projector file, needed for pictures (KAMADO_MMPROJ)")
    .option(
      "--slots <n>",
      "how many jobs run at the same time; auto measures what suits this machine (KAMADO_SLOTS)",
    )
    .option("--memory-limit <size>", "how much memory the model may use, such as 6G (KAMADO_MEMORY_LIMIT)")
    .option("--data-dir <folder>", "where Kamado stores its data (KAMADO_DATA_DIR)")
    .option("--log-level <level>", "trace, debug, info, warn, error or silent (KAMADO_LOG_LEVEL)");
}

const NAMES: Record<string, string> = {
  model: "KAMADO_MODEL",
  mmproj: "KAMADO_MMPROJ",
  engineUrl: "KAMADO_ENGINE_URL",
  slots: "KAMADO_SLOTS",
  memoryLimit: "KAMADO_MEMORY_LIMIT",
  dataDir: "KAMADO_DATA_DIR",
  logLevel: "KAMADO_LOG_LEVEL",
  port: "KAMADO_ENGINE_PORT",
  contextSize: "KAMADO_CONTEXT_SIZE",
  maxQueue: "KAMADO_MAX_QUEUE",
  backend: "KAMADO_BACKEND",
  script: "KAMADO_SCRIPT",
  llamaServer: "KAMADO_LLAMA_SERVER",
};

export function toVariables(flags: Flags): Variables {
  return Object.fromEntries(
    Object.entries(flags).flatMap(([flag, value]) =>
      flag in NAMES && typeof value === "string" ? [[NAMES[flag]!, value]] : [],
    ),
  );
}
