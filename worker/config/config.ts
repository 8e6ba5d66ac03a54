// The configuration: reads the environment (the only file that does) and kamado.toml, checks both with the schema in environment.ts, and
// gives the parts plain, frozen values.
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseEnv } from "node:util";
import type { z } from "zod";
import { KamadoError, shapeOf } from "../errors.ts";
import { inCatalogue } from "../models/catalogue.ts";
import { findInstalled } from "../models/installed.ts";
import { buildVariables, engineVariables, serviceVariables, type Variables } from "./child-environment.ts";
import {
  type ConfigFile,
  findConfigFile,
  openSecrets,
  unknownVariables,
  userConfigFile,
} from "./config-file.ts";
import {
  Environment,
  fromHome,
  isSecretName,
  MIN_TOKEN,
  SHORT_TOKEN,
  type WeightedQueue,
} from "./environment.ts";
import { type Secret, secret } from "./secret.ts";

export type { Variables } from "./child-environment.ts";
export type { WeightedQueue } from "./environment.ts";

export type AwsKeys = { accessKeyId: string; secretAccessKey: Secret; sessionToken: Secret | undefined };

export type Config = Readonly<{
  aws: {
    endpoint: string | undefined;
    region: string;
    /** Set only when one of the keys is in a file; otherwise the SDK finds its own. */
    credentials: AwsKeys | undefined;
  };
  /** Undefined: the embedded AWS serves the queue. */
  queueUrl: string | undefined;
  /** Every queue to consume, `queueUrl` first. */
  queues: readonly WeightedQueue[];
  deadQueueUrl: string | undefined;
  deliveriesQueueUrl: string | undefined;
  deadDeliveriesQueueUrl: string | undefined;
  bucket: string;
  /** Buckets that inputs may come from; always includes the result bucket. */
  buckets: readonly string[];
  /** What jobs may read there, besides `in/` of the result bucket. */
  inputPrefixes: readonly { bucket: string; prefix: string }[];
  /** Where a result goes when its job names no destination. */
  topicArn: string | undefined;
  engine: {
    /** A running server; undefined: the worker starts its own engine. */
    url: string | undefined;
    /** The model that a running server is asked for; undefined: the one it serves. */
    remoteModel: string | undefined;
    /** Sent to the engine. Our own engine demands it of every client. */
    token: Secret | undefined;
    /** Where our own engine listens. */
    host: string;
    model: string;
    /** What the owner calls it, where that is not its file's name. Our own engine answers to these names too. */
    names: readonly string[];
    mmproj: string | undefined;
    /** The name of a built-in chat template or the path of one; undefined: that of the model's file. */
    chatTemplate: string | undefined;
    backend: Environment["KAMADO_BACKEND"];
    script: string | undefined;
    /** The program; undefined: the one that `kamado engine install-llama-server` built, if any. */
    llamaServer: string | undefined;
    contextSize: number | undefined;
    /** How many answers may wait for a slot. */
    maxQueue: number | undefined;
    /** Whether an answer that only repeats itself is ended. */
    repetitionStop: boolean;
    /** How many bytes of memory the model may use, instead of what the system reports. */
    memoryLimit: number | undefined;
    port: number;
    /** Whether `model` is the demo model that comes with Kamado. */
    isDemo: boolean;
  };
  /** Undefined: as many as the engine has, which measures what suits the machine. */
  slots: number | undefined;
  /** Undefined: as many as slots. */
  prefetch: number | undefined;
  visibilitySeconds: number;
  pollSeconds: number;
  drainSeconds: number;
  timeoutSeconds: number;
  /** What one message may cost at most; job/budgets.ts says what each figure bounds. */
  budgets: {
    requests: number;
    tokens: number;
    seconds: number;
    inputs: number;
    inputBytes: number;
    resultBytes: number;
    destinations: number;
    records: number;
  };
  /** How many requests of one job may be at the engine at the same time. */
  requestsAtOnce: number;
  maxAttempts: number;
  /** Before the first retry of a job; doubles with every retry. */
  retrySeconds: number;
  /** Code that runs for so long without a pause ends the worker; 0: never. */
  stallSeconds: number;
  /** The wait before each try of a delivery, the first one included; undefined: the schedule of Standard Webhooks. */
  deliveryDelaysMs: readonly number[] | undefined;
  dataDir: string;
  /** Where models come from, and the token that is sent there and nowhere else. */
  huggingFace: { endpoint: string; token: Secret | undefined };
  web: { port: number; host: string; token: Secret | undefined };
  localPort: number;
  /** What the embedded AWS demands of its clients. */
  localKey: Secret | undefined;
  destinationsFile: string | undefined;
  rulesFile: string | undefined;
  /** The folder with the owner's handlers. */
  ownHandlers: string | undefined;
  workerName: string;
  logLevel: Environment["KAMADO_LOG_LEVEL"];
  /** The file into which a service manager writes the output; it is kept small. */
  logFile: string | undefined;
  /** The files that tokens were read from, for a command in another terminal. */
  secretFiles: { engine: string | undefined; web: string | undefined; local: string | undefined };
  /** The names of the variables that were set, in whatever way. */
  set: readonly string[];
  /** What the owner should hear: a variable that does not exist, a file that others can read. */
  warnings: readonly string[];
}>;

/** Where Kamado's own files are. */
export const HOME = resolve(import.meta.dirname, "../..");
/** The kinds that come with Kamado. */
export const HANDLERS = join(HOME, "handlers");
const DEMO_MODEL = join(HOME, "models/demo/kamado-demo.gguf");
const DEMO_MMPROJ = join(HOME, "models/demo/kamado-demo-mmproj.gguf");

/**
 * Reads the configuration. `flags` from the command line take precedence over the environment, and that over the file. `NAME_FILE` names
 * a file that holds the value of `NAME`. Throws `config_invalid`, which names the variable.
 */
export function loadConfig(
  flags: Variables = {},
  environment: Variables = process.env,
  file = environment === process.env ? findConfigFile(process.cwd(), environment) : undefined,
): Config {
  const all = allSettings(flags, environment, file);
  const parsed = Environment.safeParse(all);
  if (!parsed.success) throw new KamadoError("config_invalid", describe(parsed.error, all, file));
  checkEngineToken(parsed.data);
  checkProjector(parsed.data);
  const elsewhere = AWS_KEYS.find((name) => all[name] !== undefined && all[name] !== environment[name]);
  const warnings = [...(file?.warnings ?? []), ...unknownVariables(environment)];
  return deepFreeze({
    ...build(parsed.data, elsewhere && keysOf(parsed.data, elsewhere)),
    secretFiles: {
      engine: fileOf("KAMADO_ENGINE_TOKEN", all),
      web: fileOf("KAMADO_WEB_TOKEN", all),
      local: fileOf("KAMADO_LOCAL_KEY", all),
    },
    set: Object.keys(all).filter((name) => name in Environment.shape),
    warnings,
  });
}

const allSettings = (flags: Variables, environment: Variables, file: ConfigFile | undefined) =>
  withFiles({
    ...without(file?.variables ?? {}, environment),
    ...given(environment),
    ...defined(flags),
  });

/** The folder with the owner's handlers, for a command that works although another setting is wrong. Throws `config_invalid`. */
export function ownHandlersFolder(
  environment: Variables = process.env,
  file = findConfigFile(process.cwd(), environment),
): string | undefined {
  const { KAMADO_HANDLERS } = Environment.pick({ KAMADO_HANDLERS: true }).parse(
    allSettings({}, environment, file),
  );
  return handlersFolder(KAMADO_HANDLERS);
}

/** Every file in it is run. Those of Kamado's own folders are programs, one of which installs packages. */
function handlersFolder(given: string | undefined): string | undefined {
  const folder = given === undefined ? undefined : resolve(given);
  if (folder !== HOME && folder !== HANDLERS) return folder;
  throw new KamadoError("config_invalid", `KAMADO_HANDLERS: ${folder} is a folder of Kamado itself.`, {
    hint: "Name a folder of your own, such as ~/kamado-handlers; `kamado new KIND --folder …` makes one.",
  });
}

/** What a setting of the file means where the environment has it, as a value or as a file's name: nothing. */
function without(settings: Variables, environment: Variables): Variables {
  const base = (name: string) => (name in Environment.shape ? name : name.replace(/_FILE$/, ""));
  const inEnvironment = new Set(Object.keys(given(environment)).map(base));
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !inEnvironment.has(base(name))));
}

/** Variables of Kamado that do not exist, with what was meant. */
export const mistypedVariables = (): string[] => unknownVariables(process.env);

/** Where `kamado init --user` writes. */
export const userConfigPath = (): string => userConfigFile(process.env);

/** The kamado.toml that counts in this folder, for this process's user or the user `own`; undefined where there is none. */
export const configFilePath = (own?: number): string | undefined =>
  findConfigFile(process.cwd(), process.env, own)?.path || undefined;

/** The settings of services, which `kamado setup` writes, as `NAME=value` lines, beside the user's kamado.toml; they take precedence over that. */
export const serviceEnvFile = (home?: string): string =>
  home === undefined
    ? join(dirname(userConfigFile(process.env)), "kamado.env")
    : join(home, ".config/kamado/kamado.env");

/**
 * What a service of the user `own` reads: the lines of its file in place of this terminal's variables, and the kamado.toml of the folder it
 * runs in. Throws `config_invalid`.
 */
export function serviceConfig(envFile: string, folder: string, own?: number): Config {
  const { XDG_CONFIG_HOME } = process.env;
  return loadConfig({}, serviceVariablesIn(envFile), findConfigFile(folder, { XDG_CONFIG_HOME }, own));
}

/** The lines of a service's file, read as Node does when the service starts; what it would leave out in silence is refused. */
export function serviceVariablesIn(envFile: string): Variables {
  if (!existsSync(envFile)) return {};
  const invalid = (why: string, hint: string) =>
    new KamadoError("config_invalid", `${envFile}: ${why}`, { hint });
  let text: string;
  try {
    text = readFileSync(envFile, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw invalid(
      `it cannot be read (${code}), and a service would start without its settings.`,
      "Make it a file of yours with mode 0600, and run the command again.",
    );
  }
  if (text.startsWith("\ufeff"))
    throw invalid(
      "it begins with a byte order mark, which hides its first line.",
      "Save it as UTF-8 without a byte order mark.",
    );
  return parseEnv(text);
}

/** A warning where others than its owner may read a secret in a service's file. */
export const openSecretsIn = (envFile: string): string[] =>
  existsSync(envFile) ? openSecrets(envFile, statSync(envFile), serviceVariablesIn(envFile)) : [];

/** XDG_CONFIG_HOME, where the owner keeps settings elsewhere. */
export const configHome = (): string | undefined => process.env.XDG_CONFIG_HOME || undefined;

/** Makes this process see what a service sees; what is set in the terminal goes first. The path is that of the file, if there is one. */
export function loadServiceVariables(path = serviceEnvFile()): string | undefined {
  if (!existsSync(path)) return undefined;
  for (const [name, value] of Object.entries(serviceVariablesIn(path))) process.env[name] ??= value;
  return path;
}

/** The names of variables that are set in this terminal, which a service does not see. */
export const variablesOfShell = (): string[] =>
  Object.keys(given(process.env)).filter((name) => name.replace(/_FILE$/, "") in Environment.shape);

/** The environment of the commands that manage services. */
export const serviceEnvironment = (environment: Variables = process.env) => serviceVariables(environment);

/** `…/kamado-deliveries` for `…/kamado-jobs`: the template and the embedded AWS create both. */
const besideJobs = (queueUrl: string | undefined) =>
  queueUrl?.endsWith("-jobs") ? queueUrl.replace(/-jobs$/, "-deliveries") : undefined;

/** Only our own engine opens files, and the demo model has a projector of its own. */
function checkProjector({
  KAMADO_MMPROJ: mmproj,
  KAMADO_MODEL: model,
  KAMADO_ENGINE_URL: url,
}: Environment): void {
  if (mmproj === undefined || model !== undefined || url !== undefined) return;
  throw new KamadoError(
    "config_invalid",
    "KAMADO_MMPROJ: a projector belongs to a model; set KAMADO_MODEL too.",
  );
}

/** Our own engine demands the token of every client, so it must be long; another engine's may be short. */
function checkEngineToken({ KAMADO_ENGINE_URL: url, KAMADO_ENGINE_TOKEN: token }: Environment): void {
  if (url !== undefined || token === undefined || token.length >= MIN_TOKEN) return;
  throw new KamadoError("config_invalid", `KAMADO_ENGINE_TOKEN: ${SHORT_TOKEN} (got ${shapeOf(token)})`);
}

/** The SDK reads only the environment: when one of these is in a file, we give it all of them. */
const AWS_KEYS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] as const;

function keysOf(env: Environment, elsewhere: string): AwsKeys {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new KamadoError(
      "config_invalid",
      `${elsewhere} comes from a file (${elsewhere}_FILE or kamado.toml): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY too.`,
    );
  return {
    accessKeyId,
    secretAccessKey: secret(secretAccessKey),
    sessionToken: asSecret(env.AWS_SESSION_TOKEN),
  };
}

function build(
  env: Environment,
  credentials: AwsKeys | undefined,
): Omit<Config, "secretFiles" | "set" | "warnings"> {
  const deliveriesQueueUrl = env.KAMADO_DELIVERIES_QUEUE_URL ?? besideJobs(env.KAMADO_QUEUE_URL?.[0]?.url);
  const isScripted = env.KAMADO_BACKEND === "scripted";
  const installed = isScripted ? undefined : installedModel(env);
  const isDemo = !isScripted && env.KAMADO_MODEL === undefined && env.KAMADO_ENGINE_URL === undefined;
  return {
    aws: {
      endpoint: env.AWS_ENDPOINT_URL,
      region: env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? "us-east-1",
      credentials,
    },
    queueUrl: env.KAMADO_QUEUE_URL?.[0]?.url,
    queues: env.KAMADO_QUEUE_URL ?? [],
    deadQueueUrl: env.KAMADO_DEAD_QUEUE_URL,
    deliveriesQueueUrl,
    deadDeliveriesQueueUrl:
      env.KAMADO_DEAD_DELIVERIES_QUEUE_URL ?? (deliveriesQueueUrl && `${deliveriesQueueUrl}-dead`),
    bucket: env.KAMADO_BUCKET,
    buckets: [...new Set([env.KAMADO_BUCKET, ...env.KAMADO_BUCKETS.map(({ bucket }) => bucket)])],
    inputPrefixes: env.KAMADO_BUCKETS,
    topicArn: env.KAMADO_TOPIC_ARN,
    engine: {
      url: env.KAMADO_ENGINE_URL?.replace(/\/(v1\/?)?$/, ""),
      remoteModel: env.KAMADO_ENGINE_URL === undefined ? undefined : env.KAMADO_MODEL,
      token: asSecret(env.KAMADO_ENGINE_TOKEN),
      host: env.KAMADO_ENGINE_HOST,
      model: installed?.model ?? env.KAMADO_MODEL ?? (isScripted ? "scripted" : DEMO_MODEL),
      names: [...new Set([env.KAMADO_MODEL ?? [], installed?.name ?? []].flat())],
      mmproj: env.KAMADO_MMPROJ ?? (isDemo ? DEMO_MMPROJ : installed?.mmproj),
      chatTemplate: env.KAMADO_CHAT_TEMPLATE,
      backend: env.KAMADO_BACKEND,
      script: env.KAMADO_SCRIPT,
      llamaServer: env.KAMADO_LLAMA_SERVER,
      contextSize: env.KAMADO_CONTEXT_SIZE,
      maxQueue: env.KAMADO_MAX_QUEUE,
      repetitionStop: env.KAMADO_REPETITION_STOP === "on",
      memoryLimit: env.KAMADO_MEMORY_LIMIT,
      port: env.KAMADO_ENGINE_PORT,
      isDemo,
    },
    slots: env.KAMADO_SLOTS,
    prefetch: env.KAMADO_PREFETCH,
    visibilitySeconds: env.KAMADO_VISIBILITY_SECONDS,
    pollSeconds: env.KAMADO_POLL_SECONDS,
    drainSeconds: env.KAMADO_DRAIN_SECONDS,
    timeoutSeconds: Math.min(env.KAMADO_TIMEOUT_SECONDS, secondsBudget(env)),
    budgets: {
      requests: env.KAMADO_MAX_JOB_REQUESTS,
      tokens: env.KAMADO_MAX_JOB_TOKENS,
      seconds: secondsBudget(env),
      inputs: env.KAMADO_MAX_JOB_INPUTS,
      inputBytes: env.KAMADO_MAX_JOB_INPUT_BYTES,
      resultBytes: env.KAMADO_MAX_JOB_RESULT_BYTES,
      destinations: env.KAMADO_MAX_JOB_DESTINATIONS,
      records: env.KAMADO_MAX_EVENT_RECORDS,
    },
    requestsAtOnce: env.KAMADO_MAX_JOB_PARALLEL_REQUESTS,
    maxAttempts: env.KAMADO_MAX_ATTEMPTS,
    retrySeconds: env.KAMADO_RETRY_SECONDS,
    stallSeconds: env.KAMADO_STALL_SECONDS,
    deliveryDelaysMs: env.KAMADO_DELIVERY_DELAYS?.map((seconds) => seconds * 1_000),
    dataDir: env.KAMADO_DATA_DIR,
    huggingFace: {
      endpoint: env.HF_ENDPOINT.replace(/\/+$/, ""),
      token: asSecret(env.HF_TOKEN || undefined),
    },
    web: { port: env.KAMADO_WEB_PORT, host: env.KAMADO_WEB_HOST, token: asSecret(env.KAMADO_WEB_TOKEN) },
    localPort: env.KAMADO_LOCAL_PORT,
    localKey: asSecret(env.KAMADO_LOCAL_KEY),
    destinationsFile: env.KAMADO_DESTINATIONS_FILE,
    rulesFile: env.KAMADO_RULES_FILE,
    ownHandlers: handlersFolder(env.KAMADO_HANDLERS),
    workerName: env.KAMADO_WORKER_NAME,
    logLevel: env.KAMADO_LOG_LEVEL,
    logFile: env.KAMADO_LOG_FILE,
  };
}

/** The files of the model that `kamado model pull` fetched under this name; a path that exists is a path. */
function installedModel(
  env: Environment,
): { name: string; model: string; mmproj: string | undefined } | undefined {
  const { KAMADO_MODEL: name, KAMADO_ENGINE_URL: url, KAMADO_BACKEND: backend } = env;
  if (name === undefined || url !== undefined || existsSync(name)) return undefined;
  const inFolder = (as: string) => findInstalled(env.KAMADO_DATA_DIR, as);
  const found = inFolder(name) ?? inFolder(inCatalogue(name)?.name ?? "");
  // node-llama-cpp reads no pictures, and refuses a projector.
  return found && { ...found, mmproj: backend === "node-llama-cpp" ? undefined : found.mmproj };
}

/** An owner who lets every job run longer than an hour need not say so twice. */
const secondsBudget = ({ KAMADO_MAX_JOB_SECONDS: max, KAMADO_TIMEOUT_SECONDS: usual }: Environment) =>
  max ?? Math.max(3_600, usual);

/** The environment of the engine process. */
export const engineEnvironment = (environment: Variables = process.env) => engineVariables(environment);

/** The environment of the programs that build llama-server. */
export const buildEnvironment = (environment: Variables = process.env) => buildVariables(environment);

const asSecret = (value: string | undefined) => (value === undefined ? undefined : secret(value));

const defined = (variables: Variables) =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));

/** An empty variable counts as unset. */
const given = (variables: Variables): Variables =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined && value !== ""));

/** `KAMADO_X_FILE` names the file with the value of `KAMADO_X`. */
function withFiles(variables: Variables): Variables {
  const all = given(variables);
  for (const name of Object.keys(Environment.shape)) {
    const file = all[`${name}_FILE`];
    if (file === undefined || `${name}_FILE` in Environment.shape || all[name] !== undefined) continue;
    try {
      all[name] = readFileSync(fromHome(file), "utf8").trim();
    } catch {
      throw new KamadoError("config_invalid", `${name}_FILE: the file it names cannot be read.`);
    }
  }
  return all;
}

const fileOf = (name: string, { [`${name}_FILE`]: path }: Variables) => path && resolve(fromHome(path));

/** Each wrong variable once: what is allowed, what it holds, and where that was written. */
function describe(error: z.ZodError, all: Variables, file: ConfigFile | undefined): string {
  const wrong = new Map<string, string>();
  for (const { path, message } of error.issues.toReversed()) wrong.set(String(path[0]), message);
  return [...wrong]
    .map(([name, message]) => {
      const value = all[name];
      const where = value !== undefined && file?.variables[name] === value ? `, in ${file.path}` : "";
      return `${name}: ${message} (got ${shown(name, value)}${where})`;
    })
    .join("; ");
}

/** Longer values are described, as secrets are. */
const SHOWN = 80;

/** Without what may be a secret in an address. */
function shown(name: string, value: string | undefined): string {
  if (value === undefined || value.length > SHOWN || isSecretName(name)) return shapeOf(value);
  return JSON.stringify(value.replaceAll(/\/\/[^/@]*@/g, "//…@").replace(/\?.*$/s, "?…"));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
