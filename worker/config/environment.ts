// The schema of every variable: name, default, form, and the words that say what is allowed. config.ts reads them.
import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { coverAll } from "../power/quiet-hours.ts";
import { dayBudgets } from "./day-budgets.ts";

/** Whatever is wrong with a value, its message says what is allowed. */
const count = (min: number, max: number, allowed = "") => {
  const error = `must be ${allowed}a whole number from ${min} to ${max}`;
  return z.coerce.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};
/** The same for the parts of a list, of which numbers have been made. */
const part = (min: number, max: number, allowed: string) => {
  const error = `must be ${allowed}a whole number from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};
const port = count(0, 65_535);
const oneOf = <const T extends string>(all: readonly T[]) =>
  z.enum(all, { error: `must be one of ${all.join(", ")}` });
const url = (error = "must be an address that begins with http:// or https://") =>
  z.url({ protocol: /^https?$/, abort: true, error });
/** Only an unquoted ~ is read by the shell, and none by systemd. */
export const fromHome = (text: string): string => text.replace(/^~(?=\/|$)/, homedir());
const path = z.string().transform(fromHome);
const list = z.string().transform((text) =>
  text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean),
);

const TAGS =
  "must be the audience tag of an application (64 characters of 0-9 and a-f), or several with commas";
/** The audience tags of applications, as Cloudflare shows them. */
const tags = list.pipe(
  z
    .array(
      z
        .string()
        .regex(/^[0-9a-f]{64}$/i, TAGS)
        .toLowerCase(),
    )
    .min(1, TAGS)
    .max(20, TAGS),
);

/** "6G" in bytes: M and G are powers of 1,024. */
const size = z
  .string()
  .regex(/^\d+(\.\d+)?[MG]$/, "must be like 500M or 6G")
  .transform((text) => Number(text.slice(0, -1)) * 2 ** (text.endsWith("G") ? 30 : 20));

/** A queue to consume. A queue with twice the weight of another has twice as many of its jobs started. */
export type WeightedQueue = { url: string; weight: number };
const MAX_WEIGHT = 100;

/** One URL, or several with weights: `https://…/urgent=9,https://…/jobs=1`. */
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
          url: url("must be a queue's URL, or several like url=weight,url=weight"),
          weight: part(1, MAX_WEIGHT, "a URL, or several like url=9,url=1, each weight "),
        }),
      )
      .min(1, "must name a queue"),
  )
  .refine((all) => new Set(all.map(({ url }) => url)).size === all.length, "names a queue twice");

/** A bucket, of which everything may be read, or `bucket/prefix`. */
const prefixes = list
  .transform((all) =>
    all.map((one) => {
      const [bucket = "", ...prefix] = one.split("/");
      return { bucket, prefix: prefix.join("/") };
    }),
  )
  .pipe(
    z.array(
      z.object({
        bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]+$/, "must be like photos or photos/doors/"),
        prefix: z.string(),
      }),
    ),
  );

/** Addresses are shown on the page and in the log, and credentials in one would not be sent anyway. */
const isWithoutCredentials = (address: string) => {
  const { username, password } = new URL(address);
  return username === "" && password === "";
};

/** `23:00-07:00`, and shorter `23-7`; several are separated by commas. */
const quietHours = list
  .transform((all, context) =>
    all.map((one) => {
      const [, from, fromMinute = "0", to, toMinute = "0"] =
        /^(\d{1,2})(?::(\d\d))?\s*[-\u2013]\s*(\d{1,2})(?::(\d\d))?$/.exec(one) ?? [];
      const range = {
        from: Number(from) * 60 + Number(fromMinute),
        to: Number(to) * 60 + Number(toMinute),
      };
      const isRight =
        range.from < DAY_MINUTES &&
        range.to <= DAY_MINUTES &&
        Number(fromMinute) < 60 &&
        Number(toMinute) < 60;
      if (isRight && range.from !== range.to % DAY_MINUTES) return range;
      context.addIssue({
        code: "custom",
        message: "must be like 23:00-07:00, or several like 23:00-07:00,12:00-13:00",
      });
      return z.NEVER;
    }),
  )
  .refine((all) => !coverAll(all), "leaves no minute of the day in which jobs are pulled");
const DAY_MINUTES = 1_440;

const HOT = "must be degrees Celsius from 30 to 120, or one of fair, serious, critical";
const maxTemperature = z
  .string()
  .transform((text) => (/^\d+$/.test(text) ? Number(text) : text))
  .pipe(
    z.union([z.number().min(30, HOT).max(120, HOT), z.enum(["fair", "serious", "critical"])], { error: HOT }),
  );

export const MIN_TOKEN = 16;
export const SHORT_TOKEN = `must have at least ${MIN_TOKEN} characters`;

/** US dollars for a million tokens in and out. */
const hostedPrice = z
  .string()
  .default("0.15/0.60")
  .transform((text, context) => {
    const [, input, output] = /^(\d+(?:\.\d+)?)\/(\d+(?:\.\d+)?)$/.exec(text.replaceAll(" ", "")) ?? [];
    if (output !== undefined) return { input: Number(input), output: Number(output) };
    context.addIssue({
      code: "custom",
      message: "must be US dollars for a million tokens in and out, like 0.15/0.60",
    });
    return z.NEVER;
  });

const NAME_FOR_SITES =
  "must be one line of up to 200 characters that begins with a name, like MyReader/1.0 (+https://example.org/reader)";
const IN_HEADERS = "must not hold a name or a password; set OTEL_EXPORTER_OTLP_HEADERS";
const DELAYS = "must be a list of 1 to 100 numbers of seconds, like 0,5,300";

export const Environment = z.object({
  KAMADO_QUEUE_URL: weightedQueues.optional(),
  KAMADO_DEAD_QUEUE_URL: url().optional(),
  KAMADO_DELIVERIES_QUEUE_URL: url().optional(),
  KAMADO_DEAD_DELIVERIES_QUEUE_URL: url().optional(),
  KAMADO_BUCKET: z.string().default("kamado"),
  KAMADO_BUCKETS: prefixes.default([]),
  KAMADO_TOPIC_ARN: z.string().startsWith("arn:", "must be a topic's ARN, which begins with arn:").optional(),
  KAMADO_ENGINE_URL: url()
    .refine(isWithoutCredentials, "must not hold a name or a password; set KAMADO_ENGINE_TOKEN")
    .optional(),
  KAMADO_ENGINE_TOKEN: z.string().trim().optional(),
  KAMADO_ENGINE_HOST: z.string().default("127.0.0.1"),
  KAMADO_MODEL: path.optional(),
  KAMADO_MMPROJ: path.optional(),
  KAMADO_CHAT_TEMPLATE: path.optional(),
  KAMADO_BACKEND: oneOf(["auto", "node-llama-cpp", "llama-node", "llama-server", "scripted"]).default("auto"),
  KAMADO_SCRIPT: path.optional(),
  KAMADO_LLAMA_SERVER: path.optional(),
  KAMADO_CONTEXT_SIZE: count(256, 1_048_576).optional(),
  KAMADO_MAX_QUEUE: count(0, 100_000).optional(),
  KAMADO_SLOTS: z.preprocess(
    (text) => (text === "auto" ? undefined : text),
    count(1, 256, "auto or ").optional(),
  ),
  KAMADO_REPETITION_STOP: oneOf(["on", "off"]).default("on"),
  KAMADO_MEMORY_LIMIT: size.optional(),
  KAMADO_PREFETCH: count(0, 256).optional(),
  KAMADO_LOOK_AHEAD: count(0, 10_000).default(2_000),
  KAMADO_DATA_DIR: path.default(join(homedir(), ".kamado")),
  KAMADO_HISTORY_DAYS: count(0, 3_650).default(30),
  KAMADO_HISTORY_MB: count(10, 100_000).default(200),
  HF_ENDPOINT: url()
    .refine(isWithoutCredentials, "must not hold a name or a password; set HF_TOKEN")
    .default("https://huggingface.co"),
  HF_TOKEN: z.string().trim().optional(),
  KAMADO_BATCH_DAYS: count(1, 3_650).default(30),
  KAMADO_WEB_PORT: port.default(4780),
  KAMADO_WEB_HOST: z.string().default("127.0.0.1"),
  KAMADO_WEB_TOKEN: z.string().min(MIN_TOKEN, SHORT_TOKEN).optional(),
  KAMADO_HOSTED_PRICE: hostedPrice,
  KAMADO_MEMORY_BANDWIDTH: z.coerce
    .number({ error: "must be a number of gigabytes a second" })
    .positive("must be a number of gigabytes a second")
    .optional(),
  KAMADO_WEB_READ_TOKEN: z.string().min(MIN_TOKEN, SHORT_TOKEN).optional(),
  KAMADO_ACCESS_TEAM: z
    .string()
    .regex(
      /^(https:\/\/)?[a-z0-9-]+(\.cloudflareaccess\.com\/?)?$/i,
      "must be a team's name, such as my-team or https://my-team.cloudflareaccess.com",
    )
    .transform(
      (text) => `https://${text.toLowerCase().replace(/^https:\/\/|\..*$/g, "")}.cloudflareaccess.com`,
    )
    .optional(),
  KAMADO_ACCESS_AUDIENCE: tags.optional(),
  KAMADO_ACCESS_READ_AUDIENCE: tags.optional(),
  KAMADO_ENGINE_PORT: port.default(4781),
  KAMADO_LOCAL_PORT: port.default(4566),
  KAMADO_LOCAL_KEY: z
    .string()
    .min(MIN_TOKEN, SHORT_TOKEN)
    .regex(/^[\w-]+$/, "must consist of letters, digits, - and _")
    .optional(),
  KAMADO_DESTINATIONS_FILE: path.optional(),
  KAMADO_USER_AGENT: z
    .string()
    .trim()
    .regex(/^[A-Za-z][\w-]*(\/[\w.-]+)?( [\x20-\x7e]*)?$/, NAME_FOR_SITES)
    .max(200, NAME_FOR_SITES)
    .optional(),
  KAMADO_RULES_FILE: path.optional(),
  KAMADO_SCHEDULES_FILE: path.optional(),
  KAMADO_HANDLERS: path.optional(),
  KAMADO_VISIBILITY_SECONDS: count(3, 43_200).default(120),
  KAMADO_POLL_SECONDS: count(0, 20).default(10),
  KAMADO_DRAIN_SECONDS: count(0, 3_600).default(30),
  KAMADO_TIMEOUT_SECONDS: count(1, 39_600).default(600),
  KAMADO_MAX_JOB_REQUESTS: count(0, 1_000_000).default(1_000),
  KAMADO_MAX_JOB_PARALLEL_REQUESTS: count(1, 1_000).default(16),
  KAMADO_MAX_JOB_TOKENS: count(0, 1_000_000_000).default(1_000_000),
  KAMADO_MAX_JOB_SECONDS: count(1, 39_600).optional(),
  KAMADO_MAX_JOB_INPUTS: count(0, 1_000).default(10),
  KAMADO_MAX_JOB_INPUT_BYTES: count(0, 1_000_000_000).default(50_000_000),
  KAMADO_MAX_JOB_RESULT_BYTES: count(1, 33_554_432).default(1_048_576),
  KAMADO_MAX_JOB_DESTINATIONS: count(0, 100).default(10),
  KAMADO_MAX_EVENT_RECORDS: count(1, 100_000).default(1_000),
  KAMADO_BUDGETS: dayBudgets.default({}),
  KAMADO_MAX_ATTEMPTS: count(1, 100).default(5),
  KAMADO_RETRY_SECONDS: count(1, 900).default(5),
  KAMADO_STALL_SECONDS: count(0, 86_400).default(120),
  KAMADO_DELIVERY_DELAYS: list
    .transform((texts) => texts.map(Number))
    .pipe(
      z
        .array(part(0, 259_200, "a list like 0,5,300, each part "))
        .min(1, DELAYS)
        .max(100, DELAYS),
    )
    .optional(),
  KAMADO_QUIET_HOURS: quietHours.default([]),
  KAMADO_YIELD_IDLE_SECONDS: count(0, 86_400).default(0),
  KAMADO_MAX_TEMPERATURE: maxTemperature.optional(),
  KAMADO_TROUBLE_URL: url()
    .refine(
      isWithoutCredentials,
      "must not hold a name or a password; the destinations file may hold headers for it",
    )
    .optional(),
  KAMADO_TROUBLE_FORMAT: oneOf(["auto", "json", "ntfy", "slack"]).default("auto"),
  KAMADO_TROUBLE_TOPIC: oneOf(["on", "off"]).default("on"),
  KAMADO_WORKER_NAME: z.string().default(hostname()),
  KAMADO_SEARCH: oneOf(["searxng", "brave", "tavily", "serpapi"]).optional(),
  KAMADO_SEARCH_URL: url()
    .refine(
      isWithoutCredentials,
      "must not hold a name or a password; the destinations file may hold headers for it",
    )
    .optional(),
  KAMADO_SEARCH_KEY: z.string().trim().min(1).optional(),
  KAMADO_SEARCH_PER_MINUTE: count(1, 6_000).optional(),
  KAMADO_LOG_FILE: path.optional(),
  KAMADO_LOG_LEVEL: oneOf(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
  OTEL_EXPORTER_OTLP_ENDPOINT: url().refine(isWithoutCredentials, IN_HEADERS).optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url().refine(isWithoutCredentials, IN_HEADERS).optional(),
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: url().refine(isWithoutCredentials, IN_HEADERS).optional(),
  // telemetry.ts says what the others may be.
  OTEL_EXPORTER_OTLP_HEADERS: z.string().optional(),
  OTEL_EXPORTER_OTLP_PROTOCOL: z.string().optional(),
  OTEL_EXPORTER_OTLP_COMPRESSION: z.string().optional(),
  OTEL_EXPORTER_OTLP_TIMEOUT: z.string().optional(),
  OTEL_SERVICE_NAME: z.string().optional(),
  OTEL_RESOURCE_ATTRIBUTES: z.string().optional(),
  OTEL_TRACES_SAMPLER: z.string().optional(),
  OTEL_TRACES_SAMPLER_ARG: z.string().optional(),
  OTEL_TRACES_EXPORTER: z.string().optional(),
  OTEL_METRICS_EXPORTER: z.string().optional(),
  OTEL_METRIC_EXPORT_INTERVAL: z.string().optional(),
  OTEL_SDK_DISABLED: z.string().optional(),
  AWS_ENDPOINT_URL: url().optional(),
  AWS_REGION: z.string().optional(),
  AWS_DEFAULT_REGION: z.string().optional(),
  AWS_ACCESS_KEY_ID: z.string().optional(),
  AWS_SECRET_ACCESS_KEY: z.string().optional(),
  AWS_SESSION_TOKEN: z.string().optional(),
});
export type Environment = z.output<typeof Environment>;

/** Their values are never shown. */
export const isSecretName = (name: string): boolean =>
  /^(KAMADO_(ENGINE_TOKEN|WEB_TOKEN|WEB_READ_TOKEN|LOCAL_KEY|SEARCH_KEY|TROUBLE_URL)|HF_TOKEN|OTEL_EXPORTER_OTLP_HEADERS|AWS_(SECRET_ACCESS_KEY|SESSION_TOKEN))$/.test(
    name,
  );
