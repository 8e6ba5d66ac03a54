// The engine process's flags: parsed, checked and explained. The only way anything reaches this process from outside.
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { KamadoError } from "../errors.ts";
import { isLoopback } from "../http/loopback.ts";
import { BACKENDS, type BackendName } from "./generation/backend.ts";

export type Flags = {
  model?: string;
  mmproj?: string;
  backend: BackendName;
  script?: string;
  /** the program, for the backend of that name */
  llamaServer?: string;
  host: string;
  port: number;
  /** "auto": what the machine was measured to run best, kept in `dataDir`; without one the default */
  slots: number | "auto";
  /** "always": measured anew, whatever is kept */
  calibrate: "auto" | "always";
  dataDir?: string;
  /** in bytes, instead of what the system says there is */
  memoryLimit?: number;
  contextSize?: number;
  /** of the CPU; the library chooses without it */
  threads?: number;
  maxQueue: number;
  stallSeconds: number;
  token?: string;
  logLevel: string;
};

const OPTIONS = {
  model: { type: "string" },
  mmproj: { type: "string" },
  backend: { type: "string", default: "auto" },
  script: { type: "string" },
  "llama-server": { type: "string" },
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "4781" },
  slots: { type: "string", default: "auto" },
  calibrate: { type: "string", default: "auto" },
  "data-dir": { type: "string" },
  "memory-limit": { type: "string" },
  "context-size": { type: "string" },
  threads: { type: "string" },
  "max-queue": { type: "string", default: "64" },
  "stall-seconds": { type: "string", default: "300" },
  "token-file": { type: "string" },
  "log-level": { type: "string", default: "info" },
} as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

/** Throws `config_invalid`, which names the flag. */
export function parseFlags(argv: readonly string[]): Flags {
  const values = read(argv);
  const flags: Flags = {
    backend: chooseBackend(values.backend, { ...values, llamaServer: values["llama-server"] }),
    host: values.host,
    port: whole("port", values.port, 0, 65_535),
    slots: values.slots === "auto" ? "auto" : whole("slots", values.slots, 1, 256),
    calibrate: oneOf("calibrate", values.calibrate, ["auto", "always"]),
    maxQueue: whole("max-queue", values["max-queue"], 0, 100_000),
    stallSeconds: whole("stall-seconds", values["stall-seconds"], 1, 86_400),
    logLevel: values["log-level"],
  };
  if (!LOG_LEVELS.includes(flags.logLevel)) throw bad("log-level", `is not one of ${LOG_LEVELS.join(", ")}`);
  if (values.model !== undefined) flags.model = file("model", values.model);
  if (values.mmproj !== undefined) flags.mmproj = file("mmproj", values.mmproj);
  if (values.script !== undefined) flags.script = values.script;
  if (values["llama-server"] !== undefined) flags.llamaServer = file("llama-server", values["llama-server"]);
  if (values["data-dir"] !== undefined) flags.dataDir = values["data-dir"];
  if (values["memory-limit"] !== undefined) flags.memoryLimit = bytes("memory-limit", values["memory-limit"]);
  if (values["context-size"] !== undefined)
    flags.contextSize = whole("context-size", values["context-size"], 16, 10_000_000);
  if (values.threads !== undefined) flags.threads = whole("threads", values.threads, 1, 1_024);
  if (values["token-file"] !== undefined) flags.token = secret(values["token-file"]);
  if (flags.backend !== "scripted" && flags.model === undefined) throw bad("model", "is needed");
  if (!isLoopback(flags.host) && flags.token === undefined)
    throw bad("host", `${flags.host} can be reached from outside: give a --token-file too`);
  return flags;
}

function read(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true }).values;
  } catch (thrown) {
    throw new KamadoError("config_invalid", (thrown as Error).message);
  }
}

/** A model with a projector needs a backend that has eyes: llama-server where there is one. */
export function chooseBackend(
  wanted: string,
  { mmproj, llamaServer }: { mmproj?: string | undefined; llamaServer?: string | undefined },
): BackendName {
  if (wanted === "auto" && mmproj === undefined) return "node-llama-cpp";
  if (wanted === "auto") return llamaServer === undefined ? "llama-node" : "llama-server";
  const found = BACKENDS.find((name) => name === wanted);
  if (found === undefined) throw bad("backend", `${wanted} is not one of auto, ${BACKENDS.join(", ")}`);
  if (found === "node-llama-cpp" && mmproj !== undefined)
    throw bad("backend", "node-llama-cpp reads no pictures: leave --mmproj out, or take llama-node");
  if (found === "llama-server" && llamaServer === undefined)
    throw bad("llama-server", "the program is needed; `kamado engine install-llama-server` builds it");
  return found;
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw bad(flag, `must be a whole number from ${min} to ${max}, not ${text}`);
  return value;
}

function oneOf<T extends string>(flag: string, text: string, all: readonly T[]): T {
  const found = all.find((one) => one === text);
  if (found === undefined) throw bad(flag, `${text} is not one of ${all.join(", ")}`);
  return found;
}

/** "6G" -> bytes: M and G are powers of 1,024. */
function bytes(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([MG])$/.exec(text) ?? [];
  if (number === undefined) throw bad(flag, `must be like 500M or 6G, not ${text}`);
  return Number(number) * 2 ** (unit === "G" ? 30 : 20);
}

function file(flag: string, path: string): string {
  if (!existsSync(path)) throw bad(flag, `there is no file ${path}`);
  return path;
}

function secret(path: string): string {
  const token = readFileSync(file("token-file", path), "utf8").trim();
  if (token.length < 16) throw bad("token-file", "the token must have at least 16 characters");
  return token;
}

const bad = (flag: string, what: string) => new KamadoError("config_invalid", `--${flag}: ${what}.`);
