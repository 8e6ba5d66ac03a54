// What the settings mean: from the variables, read and checked one by one, to the plain values that the parts get. Owns what follows from
// several of them together. Where they come from is left to config.ts, what each may be to environment.ts.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { KamadoError, shapeOf } from "../errors.ts";
import { inCatalogue } from "../models/catalogue.ts";
import { findInstalled } from "../models/installed.ts";
import type { PolicySettings } from "../power/policies.ts";
import { type Environment, MIN_TOKEN, SHORT_TOKEN, type WeightedQueue } from "./environment.ts";
import { type Secret, secret } from "./secret.ts";
import { type Telemetry, telemetryOf } from "./telemetry.ts";

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
  /** How many messages a worker may hold while it looks for those of other tenants; 0: it does not look. */
  lookAhead: number;
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
  /** What tenants, kinds and all jobs may use in a day; tenants/day-budgets.ts says what counts for a job. */
  dayBudgets: Environment["KAMADO_BUDGETS"];
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
  /** How much the history of jobs keeps; with 0 days nothing is written to disk. */
  history: { days: number; megabytes: number };
  /** How long the files of batches are kept. */
  batchDays: number;
  /** Where models come from, and the token that is sent there and nowhere else. */
  huggingFace: { endpoint: string; token: Secret | undefined };
  web: {
    port: number;
    host: string;
    token: Secret | undefined;
    /** Lets its user read and change nothing. */
    readToken: Secret | undefined;
    /** What the console compares with: US dollars for a million tokens in and out. */
    hostedPrice: { input: number; output: number };
    /** Of the engine's machine, where the console does not know it: gigabytes a second. */
    memoryBandwidth: number | undefined;
    /** Cloudflare Access. The audiences are tags of its applications. */
    access: { team: string; audiences: readonly string[]; readAudiences: readonly string[] } | undefined;
  };
  localPort: number;
  /** What the embedded AWS demands of its clients. */
  localKey: Secret | undefined;
  destinationsFile: string | undefined;
  /** Under which sites see the requests for pages. */
  userAgent: string;
  rulesFile: string | undefined;
  schedulesFile: string | undefined;
  /** The folder with the owner's handlers. */
  ownHandlers: string | undefined;
  /** When no job is pulled although everything answers. */
  power: PolicySettings;
  /** Whom trouble is told. */
  trouble: {
    url: Secret | undefined;
    format: Environment["KAMADO_TROUBLE_FORMAT"];
    /** Whether the topic is told too. */
    tellsTopic: boolean;
  };
  /** The service that jobs search the web with; undefined: none. */
  webSearch:
    | {
        provider: NonNullable<Environment["KAMADO_SEARCH"]>;
        url: string | undefined;
        key: Secret | undefined;
        perMinute: number | undefined;
      }
    | undefined;
  workerName: string;
  /** Where traces and metrics are sent, and how; undefined: nowhere. */
  telemetry: Telemetry | undefined;
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
/** Who has the same token for both could do everything with what is given away for reading. */
function checkReadToken({ KAMADO_WEB_TOKEN: token, KAMADO_WEB_READ_TOKEN: readToken }: Environment): void {
  if (token !== undefined && token === readToken)
    throw new KamadoError("config_invalid", "KAMADO_WEB_READ_TOKEN: must be another than KAMADO_WEB_TOKEN.");
}

function checkEngineToken({ KAMADO_ENGINE_URL: url, KAMADO_ENGINE_TOKEN: token }: Environment): void {
  if (url !== undefined || token === undefined || token.length >= MIN_TOKEN) return;
  throw new KamadoError("config_invalid", `KAMADO_ENGINE_TOKEN: ${SHORT_TOKEN} (got ${shapeOf(token)})`);
}

function keysOf(env: Environment, keyInFile: string): AwsKeys {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new KamadoError(
      "config_invalid",
      `${keyInFile} comes from a file (${keyInFile}_FILE or kamado.toml): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY too.`,
    );
  return {
    accessKeyId,
    secretAccessKey: secret(secretAccessKey),
    sessionToken: asSecret(env.AWS_SESSION_TOKEN),
  };
}

/** `keyInFile`: a key of AWS that is in a file. Throws `config_invalid` for settings that do not go together. */
export function buildConfig(
  env: Environment,
  keyInFile: string | undefined,
): Omit<Config, "secretFiles" | "set" | "warnings"> {
  checkEngineToken(env);
  checkReadToken(env);
  checkProjector(env);
  const deliveriesQueueUrl = env.KAMADO_DELIVERIES_QUEUE_URL ?? besideJobs(env.KAMADO_QUEUE_URL?.[0]?.url);
  const isScripted = env.KAMADO_BACKEND === "scripted";
  const installed = isScripted ? undefined : installedModel(env);
  const isDemo = !isScripted && env.KAMADO_MODEL === undefined && env.KAMADO_ENGINE_URL === undefined;
  return {
    aws: {
      endpoint: env.AWS_ENDPOINT_URL,
      region: env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? "us-east-1",
      credentials: keyInFile === undefined ? undefined : keysOf(env, keyInFile),
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
    lookAhead: env.KAMADO_LOOK_AHEAD,
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
    dayBudgets: env.KAMADO_BUDGETS,
    requestsAtOnce: env.KAMADO_MAX_JOB_PARALLEL_REQUESTS,
    maxAttempts: env.KAMADO_MAX_ATTEMPTS,
    retrySeconds: env.KAMADO_RETRY_SECONDS,
    stallSeconds: env.KAMADO_STALL_SECONDS,
    deliveryDelaysMs: env.KAMADO_DELIVERY_DELAYS?.map((seconds) => seconds * 1_000),
    dataDir: env.KAMADO_DATA_DIR,
    history: { days: env.KAMADO_HISTORY_DAYS, megabytes: env.KAMADO_HISTORY_MB },
    batchDays: env.KAMADO_BATCH_DAYS,
    huggingFace: {
      endpoint: env.HF_ENDPOINT.replace(/\/+$/, ""),
      token: asSecret(env.HF_TOKEN || undefined),
    },
    web: {
      port: env.KAMADO_WEB_PORT,
      host: env.KAMADO_WEB_HOST,
      token: asSecret(env.KAMADO_WEB_TOKEN),
      readToken: asSecret(env.KAMADO_WEB_READ_TOKEN),
      hostedPrice: env.KAMADO_HOSTED_PRICE,
      memoryBandwidth: env.KAMADO_MEMORY_BANDWIDTH,
      access: cloudflareAccess(env),
    },
    localPort: env.KAMADO_LOCAL_PORT,
    localKey: asSecret(env.KAMADO_LOCAL_KEY),
    destinationsFile: env.KAMADO_DESTINATIONS_FILE,
    userAgent: env.KAMADO_USER_AGENT ?? nameForSites(),
    rulesFile: env.KAMADO_RULES_FILE,
    schedulesFile: env.KAMADO_SCHEDULES_FILE,
    ownHandlers: handlersFolder(env.KAMADO_HANDLERS),
    power: {
      quietHours: env.KAMADO_QUIET_HOURS,
      yieldIdleSeconds: env.KAMADO_YIELD_IDLE_SECONDS,
      maxTemperature: env.KAMADO_MAX_TEMPERATURE,
    },
    trouble: {
      url: asSecret(env.KAMADO_TROUBLE_URL),
      format: env.KAMADO_TROUBLE_FORMAT,
      tellsTopic: env.KAMADO_TROUBLE_TOPIC === "on",
    },
    webSearch: searchOf(env),
    workerName: env.KAMADO_WORKER_NAME,
    telemetry: telemetryOf(env),
    logLevel: env.KAMADO_LOG_LEVEL,
    logFile: env.KAMADO_LOG_FILE,
  };
}

/** An address alone is that of a SearXNG: the other services have their own. */
function searchOf(env: Environment): Config["webSearch"] {
  const { KAMADO_SEARCH_URL: url, KAMADO_SEARCH_KEY: key, KAMADO_SEARCH_PER_MINUTE: perMinute } = env;
  const provider = env.KAMADO_SEARCH ?? (url !== undefined && key === undefined ? "searxng" : undefined);
  const invalid = (message: string) =>
    new KamadoError("config_invalid", message, { hint: "docs/research.md says what each service needs." });
  if (provider === undefined) {
    if (key === undefined) return undefined;
    throw invalid("KAMADO_SEARCH: set it to the service that KAMADO_SEARCH_KEY is for.");
  }
  if (provider === "searxng" && url === undefined)
    throw invalid("KAMADO_SEARCH_URL: set it to the address of your SearXNG, such as http://127.0.0.1:8888.");
  if (provider !== "searxng" && key === undefined)
    throw invalid(`KAMADO_SEARCH_KEY: ${provider} answers only to a key; set it or KAMADO_SEARCH_KEY_FILE.`);
  return { provider, url, key: asSecret(key), perMinute };
}

/** Its team and one of its audiences mean nothing without each other, and a tag that is in both lists would be taken for more than was meant. */
function cloudflareAccess(env: Environment): Config["web"]["access"] {
  const { KAMADO_ACCESS_TEAM: team, KAMADO_ACCESS_AUDIENCE: audiences = [] } = env;
  const readAudiences = env.KAMADO_ACCESS_READ_AUDIENCE ?? [];
  const tags = [...audiences, ...readAudiences];
  if (team === undefined && tags.length === 0) return undefined;
  const both = audiences.find((tag) => readAudiences.includes(tag));
  if (both !== undefined)
    throw new KamadoError(
      "config_invalid",
      `KAMADO_ACCESS_READ_AUDIENCE: ${both} is in KAMADO_ACCESS_AUDIENCE too.`,
    );
  if (team !== undefined && tags.length > 0) return { team, audiences, readAudiences };
  const missing = team === undefined ? "KAMADO_ACCESS_TEAM" : "KAMADO_ACCESS_AUDIENCE";
  throw new KamadoError(
    "config_invalid",
    `${missing}: Cloudflare Access needs the team and an audience; set it too.`,
  );
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

/** Every file in it is run. Those of Kamado's own folders are programs, one of which installs packages. */
export function handlersFolder(given: string | undefined): string | undefined {
  const folder = given === undefined ? undefined : resolve(given);
  if (folder !== HOME && folder !== HANDLERS) return folder;
  throw new KamadoError("config_invalid", `KAMADO_HANDLERS: ${folder} is a folder of Kamado itself.`, {
    hint: "Name a folder of your own, such as ~/kamado-handlers; `kamado new KIND --folder …` makes one.",
  });
}

/** Says what asks and, where this copy of Kamado has a page of its own, where that explains itself. */
function nameForSites(): string {
  const { version, homepage } = JSON.parse(readFileSync(join(HOME, "package.json"), "utf8"));
  return `Kamado/${version}${homepage ? ` (+${homepage})` : ""}`;
}

const asSecret = (value: string | undefined) => (value === undefined ? undefined : secret(value));
