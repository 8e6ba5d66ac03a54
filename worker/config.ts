// The only reader of process.env: names, defaults and checks of everything that can be set. Frozen, then passed down.
import { readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import { KamadoError, shapeOf } from "./errors.ts";
import { type Secret, secret } from "./secrets.ts";

const port = z.coerce.number().int().min(0).max(65_535);
const count = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
const list = z.string().transform((text) =>
  text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean),
);

/** A queue to pull from; of two, one with twice the weight of the other has twice as many of its jobs started. */
export type WeightedQueue = { url: string; weight: number };
const MAX_WEIGHT = 100;

/** One address, or several with their weights: `https://…/urgent=9,https://…/jobs=1`. */
const weightedQueues = list
  .transform((all) =>
    all.map((one) => {
      const [, url = one, weight] = /^(.*?)(?:=(\d+))?$/s.exec(one) ?? [];
      return { url, weight: Number(weight ?? 1) };
    }),
  )
  .pipe(
    z
      .array(
        z.object({
          url: z.url("must be an address, or several like address=weight,address=weight"),
          weight: z.int().min(1).max(MAX_WEIGHT),
        }),
      )
      .min(1),
  )
  .refine((all) => new Set(all.map(({ url }) => url)).size === all.length, "names a queue twice");

const MIN_TOKEN = 16;
const SHORT_TOKEN = `must have at least ${MIN_TOKEN} characters`;

const Environment = z.object({
  KAMADO_QUEUE_URL: weightedQueues.optional(),
  KAMADO_DEAD_QUEUE_URL: z.url().optional(),
  KAMADO_DELIVERIES_QUEUE_URL: z.url().optional(),
  KAMADO_DEAD_DELIVERIES_QUEUE_URL: z.url().optional(),
  KAMADO_BUCKET: z.string().default("kamado"),
  KAMADO_BUCKETS: list.default([]),
  KAMADO_TOPIC_ARN: z.string().startsWith("arn:").optional(),
  KAMADO_ENGINE_URL: z.url().optional(),
  KAMADO_ENGINE_TOKEN: z.string().trim().optional(),
  KAMADO_ENGINE_HOST: z.string().default("127.0.0.1"),
  KAMADO_MODEL: z.string().optional(),
  KAMADO_MMPROJ: z.string().optional(),
  KAMADO_BACKEND: z
    .enum(["auto", "node-llama-cpp", "llama-node", "llama-server", "scripted"])
    .default("auto"),
  KAMADO_SCRIPT: z.string().optional(),
  KAMADO_LLAMA_SERVER: z.string().optional(),
  KAMADO_CONTEXT_SIZE: count(256, 1_048_576).optional(),
  KAMADO_MAX_QUEUE: count(0, 100_000).optional(),
  KAMADO_SLOTS: z.preprocess((text) => (text === "auto" ? undefined : text), count(1, 256).optional()),
  KAMADO_MEMORY_LIMIT: z
    .string()
    .regex(/^\d+(\.\d+)?[MG]$/, "must be like 500M or 6G")
    .optional(),
  KAMADO_PREFETCH: count(0, 256).optional(),
  KAMADO_DATA_DIR: z.string().default(join(homedir(), ".kamado")),
  KAMADO_WEB_PORT: port.default(4780),
  KAMADO_WEB_HOST: z.string().default("127.0.0.1"),
  KAMADO_WEB_TOKEN: z.string().min(MIN_TOKEN, SHORT_TOKEN).optional(),
  KAMADO_ENGINE_PORT: port.default(4781),
  KAMADO_LOCAL_PORT: port.default(4566),
  KAMADO_DESTINATIONS_FILE: z.string().optional(),
  KAMADO_RULES_FILE: z.string().optional(),
  KAMADO_VISIBILITY_SECONDS: count(3, 43_200).default(120),
  KAMADO_POLL_SECONDS: count(0, 20).default(10),
  KAMADO_DRAIN_SECONDS: count(0, 3_600).default(30),
  KAMADO_TIMEOUT_SECONDS: count(1, 39_600).default(600),
  KAMADO_MAX_ATTEMPTS: count(1, 100).default(5),
  KAMADO_RETRY_SECONDS: count(1, 900).default(5),
  KAMADO_DELIVERY_DELAYS: list
    .transform((texts) => texts.map(Number))
    .pipe(z.array(z.int().min(0).max(259_200)).min(1).max(100))
    .optional(),
  KAMADO_WORKER_NAME: z.string().default(hostname()),
  KAMADO_LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
  AWS_ENDPOINT_URL: z.url().optional(),
  AWS_REGION: z.string().optional(),
  AWS_DEFAULT_REGION: z.string().optional(),
  AWS_ACCESS_KEY_ID: z.string().optional(),
  AWS_SECRET_ACCESS_KEY: z.string().optional(),
  AWS_SESSION_TOKEN: z.string().optional(),
});
type Environment = z.output<typeof Environment>;
export type Variables = Record<string, string | undefined>;

export type AwsKeys = { accessKeyId: string; secretAccessKey: Secret; sessionToken: Secret | undefined };

export type Config = Readonly<{
  aws: {
    endpoint: string | undefined;
    region: string;
    /** Where one of them stands in a file; else the SDK finds its own. */
    credentials: AwsKeys | undefined;
  };
  /** Undefined: the embedded AWS serves the queue. */
  queueUrl: string | undefined;
  /** All that are pulled from, `queueUrl` first. */
  queues: readonly WeightedQueue[];
  deadQueueUrl: string | undefined;
  deliveriesQueueUrl: string | undefined;
  deadDeliveriesQueueUrl: string | undefined;
  bucket: string;
  /** Buckets inputs may come from; the result bucket is always among them. */
  buckets: readonly string[];
  /** Where a result goes when its job names no destination. */
  topicArn: string | undefined;
  engine: {
    /** A server that is already there; undefined: the worker starts its own. */
    url: string | undefined;
    /** Sent to the engine; one of our own demands it from everybody. */
    token: Secret | undefined;
    /** Where one of our own listens. */
    host: string;
    model: string;
    mmproj: string | undefined;
    backend: Environment["KAMADO_BACKEND"];
    script: string | undefined;
    /** The program; undefined: the one that `kamado engine install-llama-server` built, if it did. */
    llamaServer: string | undefined;
    contextSize: number | undefined;
    /** How many answers may wait for a slot. */
    maxQueue: number | undefined;
    /** What the model may take, instead of what the system says there is: "6G". */
    memoryLimit: string | undefined;
    port: number;
    /** Whether `model` is the toy that comes with Kamado. */
    isDemo: boolean;
  };
  /** Undefined: as many as the engine has, which finds out itself what suits the machine. */
  slots: number | undefined;
  /** Undefined: as many as slots. */
  prefetch: number | undefined;
  visibilitySeconds: number;
  pollSeconds: number;
  drainSeconds: number;
  timeoutSeconds: number;
  maxAttempts: number;
  /** A job that may work later is tried again after about so long, then after twice that, and so on. */
  retrySeconds: number;
  /** Before each try of a delivery, the first included; undefined: as Standard Webhooks recommends. */
  deliveryDelaysMs: readonly number[] | undefined;
  dataDir: string;
  web: { port: number; host: string; token: Secret | undefined };
  localPort: number;
  destinationsFile: string | undefined;
  rulesFile: string | undefined;
  workerName: string;
  logLevel: Environment["KAMADO_LOG_LEVEL"];
}>;

/** Where Kamado's own files are. */
export const HOME = resolve(import.meta.dirname, "..");
/** The kinds that come with Kamado. */
export const HANDLERS = join(HOME, "handlers");
const DEMO_MODEL = join(HOME, "models/demo/kamado-demo.gguf");
const DEMO_MMPROJ = join(HOME, "models/demo/kamado-demo-mmproj.gguf");

/**
 * Reads the configuration. `flags` (from the command line) go before the environment; `NAME_FILE` stands for `NAME`
 * with the value in a file. Throws `config_invalid`, which names the variable.
 */
export function loadConfig(flags: Variables = {}, environment: Variables = process.env): Config {
  const given = withFiles({ ...environment, ...defined(flags) });
  const parsed = Environment.safeParse(given);
  if (!parsed.success) throw new KamadoError("config_invalid", describe(parsed.error, given));
  checkEngineToken(parsed.data);
  const inFile = AWS_KEYS.find((name) => given[`${name}_FILE`] !== undefined);
  return deepFreeze(build(parsed.data, inFile && keysOf(parsed.data, inFile)));
}

/** `kamado-jobs` has its `kamado-deliveries` beside it, as the template and the embedded AWS make them. */
const besideJobs = (queueUrl: string | undefined) =>
  queueUrl?.endsWith("-jobs") ? queueUrl.replace(/-jobs$/, "-deliveries") : undefined;

/** An engine of our own demands it of everybody; another's may be as short as its owner likes. */
function checkEngineToken({ KAMADO_ENGINE_URL: url, KAMADO_ENGINE_TOKEN: token }: Environment): void {
  if (url !== undefined || token === undefined || token.length >= MIN_TOKEN) return;
  throw new KamadoError("config_invalid", `KAMADO_ENGINE_TOKEN: ${SHORT_TOKEN} (got ${shapeOf(token)})`);
}

/** The SDK knows nothing of files: when one of these stands in one, it is given all of them. */
const AWS_KEYS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] as const;

function keysOf(env: Environment, inFile: string): AwsKeys {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new KamadoError(
      "config_invalid",
      `${inFile}_FILE: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY too.`,
    );
  return {
    accessKeyId,
    secretAccessKey: secret(secretAccessKey),
    sessionToken: asSecret(env.AWS_SESSION_TOKEN),
  };
}

function build(env: Environment, credentials: AwsKeys | undefined): Config {
  const deliveriesQueueUrl = env.KAMADO_DELIVERIES_QUEUE_URL ?? besideJobs(env.KAMADO_QUEUE_URL?.[0]?.url);
  const isScripted = env.KAMADO_BACKEND === "scripted";
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
    buckets: [...new Set([env.KAMADO_BUCKET, ...env.KAMADO_BUCKETS])],
    topicArn: env.KAMADO_TOPIC_ARN,
    engine: {
      url: env.KAMADO_ENGINE_URL?.replace(/\/(v1\/?)?$/, ""),
      token: asSecret(env.KAMADO_ENGINE_TOKEN),
      host: env.KAMADO_ENGINE_HOST,
      model: env.KAMADO_MODEL ?? (isScripted ? "scripted" : DEMO_MODEL),
      mmproj: env.KAMADO_MMPROJ ?? (isDemo ? DEMO_MMPROJ : undefined),
      backend: env.KAMADO_BACKEND,
      script: env.KAMADO_SCRIPT,
      llamaServer: env.KAMADO_LLAMA_SERVER,
      contextSize: env.KAMADO_CONTEXT_SIZE,
      maxQueue: env.KAMADO_MAX_QUEUE,
      memoryLimit: env.KAMADO_MEMORY_LIMIT,
      port: env.KAMADO_ENGINE_PORT,
      isDemo,
    },
    slots: env.KAMADO_SLOTS,
    prefetch: env.KAMADO_PREFETCH,
    visibilitySeconds: env.KAMADO_VISIBILITY_SECONDS,
    pollSeconds: env.KAMADO_POLL_SECONDS,
    drainSeconds: env.KAMADO_DRAIN_SECONDS,
    timeoutSeconds: env.KAMADO_TIMEOUT_SECONDS,
    maxAttempts: env.KAMADO_MAX_ATTEMPTS,
    retrySeconds: env.KAMADO_RETRY_SECONDS,
    deliveryDelaysMs: env.KAMADO_DELIVERY_DELAYS?.map((seconds) => seconds * 1_000),
    dataDir: env.KAMADO_DATA_DIR.replace(/^~(?=\/|$)/, homedir()),
    web: { port: env.KAMADO_WEB_PORT, host: env.KAMADO_WEB_HOST, token: asSecret(env.KAMADO_WEB_TOKEN) },
    localPort: env.KAMADO_LOCAL_PORT,
    destinationsFile: env.KAMADO_DESTINATIONS_FILE,
    rulesFile: env.KAMADO_RULES_FILE,
    workerName: env.KAMADO_WORKER_NAME,
    logLevel: env.KAMADO_LOG_LEVEL,
  };
}

// Names are all there is to go by; what is ours reaches the engine by its flags.
const NOT_FOR_THE_ENGINE =
  /^(AWS|KAMADO)_|TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY/i;

/** The environment of the engine process, which runs native code on what strangers sent: without any secret. */
export function engineEnvironment(environment: Variables = process.env): Variables {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !NOT_FOR_THE_ENGINE.test(name)));
}

const asSecret = (value: string | undefined) => (value === undefined ? undefined : secret(value));

const defined = (variables: Variables) =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));

/** Empty variables count as unset; `KAMADO_X_FILE` gives `KAMADO_X` its value from a file. */
function withFiles(variables: Variables): Variables {
  const given: Variables = Object.fromEntries(
    Object.entries(variables).filter(([, value]) => value !== undefined && value !== ""),
  );
  for (const name of Object.keys(Environment.shape)) {
    const file = given[`${name}_FILE`];
    if (file === undefined || `${name}_FILE` in Environment.shape || given[name] !== undefined) continue;
    try {
      given[name] = readFileSync(file, "utf8").trim();
    } catch {
      throw new KamadoError("config_invalid", `${name}_FILE: the file it names cannot be read.`);
    }
  }
  return given;
}

function describe(error: z.ZodError, given: Variables): string {
  return error.issues
    .map(({ path, message }) => `${path.join(".")}: ${message} (got ${shapeOf(given[String(path[0])])})`)
    .join("; ");
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
