// The engine process's flags: parsed, checked and explained. The only way anything reaches this process from outside.
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { parseArgs } from "node:util";
import { KamadoError } from "../errors.ts";
import { BACKENDS, type BackendName } from "./backend.ts";

export type Flags = {
  model?: string;
  mmproj?: string;
  backend: BackendName;
  script?: string;
  host: string;
  port: number;
  slots: number;
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
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "4781" },
  slots: { type: "string", default: "8" },
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
    backend: chooseBackend(values.backend, values),
    host: values.host,
    port: whole("port", values.port, 0, 65_535),
    slots: whole("slots", values.slots, 1, 256),
    maxQueue: whole("max-queue", values["max-queue"], 0, 100_000),
    stallSeconds: whole("stall-seconds", values["stall-seconds"], 1, 86_400),
    logLevel: values["log-level"],
  };
  if (!LOG_LEVELS.includes(flags.logLevel)) throw bad("log-level", `is not one of ${LOG_LEVELS.join(", ")}`);
  if (values.model !== undefined) flags.model = file("model", values.model);
  if (values.mmproj !== undefined) flags.mmproj = file("mmproj", values.mmproj);
  if (values.script !== undefined) flags.script = values.script;
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

/** A model with a projector needs a backend that has eyes. */
export function chooseBackend(wanted: string, { mmproj }: { mmproj?: string | undefined }): BackendName {
  if (wanted === "auto") return mmproj === undefined ? "node-llama-cpp" : "llama-node";
  const found = BACKENDS.find((name) => name === wanted);
  if (found === undefined) throw bad("backend", `${wanted} is not one of auto, ${BACKENDS.join(", ")}`);
  if (found === "node-llama-cpp" && mmproj !== undefined)
    throw bad("backend", "node-llama-cpp reads no pictures: leave --mmproj out, or take llama-node");
  return found;
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw bad(flag, `must be a whole number from ${min} to ${max}, not ${text}`);
  return value;
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

const isLoopback = (host: string) =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

const bad = (flag: string, what: string) => new KamadoError("config_invalid", `--${flag}: ${what}.`);
