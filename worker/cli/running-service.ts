// The Kamado that runs on this machine, for the commands of other terminals: `serve` and `worker` say in a file of the data folder where
// their engine, page and queues are, `engine` says where it is itself. Owns these files and whether the processes that wrote them still run.
// They never hold a secret: of a token they name the file, if there is one.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { isRunning } from "../async/is-running.ts";
import type { Cloud } from "../aws/resources.ts";
import type { Config } from "../config/config.ts";
import { type Secret, secret } from "../config/secret.ts";
import type { State } from "../console/state.ts";
import { ERRORS, type ErrorCode, KamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { writeStateFile } from "../state-file.ts";

const FILE = "service.json";
const ENGINE_FILE = "engine.json";

const Part = z.object({ url: z.string(), tokenFile: z.string().optional() });
const Engine = z.object({
  pid: z.int().positive(),
  startedAt: z.string(),
  engine: Part.extend({ model: z.string(), isDemo: z.boolean() }),
});
const Service = Engine.extend({
  web: Part,
  cloud: z.object({
    /** Only that of the embedded AWS, whose keys are the same for all who use this machine. */
    isLocal: z.boolean(),
    endpoint: z.string().optional(),
    region: z.string(),
    keyFile: z.string().optional(),
    queueUrl: z.string(),
    queues: z
      .array(z.object({ url: z.string(), weight: z.number() }))
      .readonly()
      .optional(),
    deadQueueUrl: z.string(),
    deliveriesQueueUrl: z.string().optional(),
    deadDeliveriesQueueUrl: z.string(),
    topicArn: z.string().optional(),
    bucket: z.string(),
  }),
});
export type Service = z.output<typeof Service>;
type RunningEngine = z.output<typeof Engine>;

type Started = { engineUrl: string; webUrl: string; isLocal: boolean };

/**
 * Says where a worker, its engine and its queues are, until the function returned is called. Of several workers with one data folder the
 * first one is found: a further one on its queues must not hide it, nor take its file along when it stops.
 */
export async function announceService(
  config: Config,
  cloud: Cloud,
  started: Started,
  log: Log,
): Promise<() => void> {
  const first = await findService(config);
  if (first.is === "running" && first.service.pid !== process.pid) {
    const { pid, web } = first.service;
    log.info(
      { stage: "start" },
      `commands in other terminals go on using the Kamado that runs already, pid ${pid}, ${web.url}; a KAMADO_DATA_DIR of its own makes this one known too`,
    );
    return () => {};
  }
  const { engineUrl, webUrl, isLocal } = started;
  const { aws, ...queues } = cloud;
  const { web, local } = config.secretFiles;
  const { endpoint, region } = aws;
  return write<z.input<typeof Service>>(config.dataDir, FILE, log, {
    ...engineOf(config, engineUrl),
    web: { url: webUrl, tokenFile: web },
    cloud: {
      ...queues,
      isLocal,
      endpoint,
      region: region ?? config.aws.region,
      keyFile: local,
      bucket: config.bucket,
    },
  });
}

/** The same for an engine without a worker. */
export const announceEngine = (config: Config, url: string, log: Log): (() => void) =>
  write<RunningEngine>(config.dataDir, ENGINE_FILE, log, engineOf(config, url));

const engineOf = ({ engine, secretFiles }: Config, url: string): RunningEngine => ({
  pid: process.pid,
  startedAt: new Date().toISOString(),
  engine: { url, tokenFile: secretFiles.engine, model: nameOfModel(engine.model), isDemo: engine.isDemo },
});

/** The function returned removes the file, unless another process has written it since. */
function write<T extends object>(dataDir: string, name: string, log: Log, content: T): () => void {
  const path = join(dataDir, name);
  try {
    writeStateFile(path, content);
  } catch (thrown) {
    // It runs all the same. A worker on a queue elsewhere needs no data folder.
    const { code } = thrown as NodeJS.ErrnoException;
    log.info(
      { stage: "start" },
      `commands in other terminals will not find it: ${path} cannot be written (${code})`,
    );
    return () => {};
  }
  return () => {
    if (read(dataDir, name, Engine)?.pid === process.pid) rmSync(path, { force: true });
  };
}

/** The same file has the same name, whatever folder a command runs in. */
export const nameOfModel = (model: string): string => (existsSync(model) ? resolve(model) : model);

export type Found =
  | { is: "running"; service: Service }
  /** Its process is gone and left the file behind. */
  | { is: "stale"; pid: number }
  | { is: "none" };

/** What runs with the data folder of this configuration. */
export async function findService(config: Config): Promise<Found> {
  const service = read(config.dataDir, FILE, Service);
  if (!service) return { is: "none" };
  const { pid } = service;
  return (await isHere(service, config)) ? { is: "running", service } : { is: "stale", pid };
}

/** The engine that runs here: that of a worker, or one by itself. */
export async function findEngine(config: Config, found: Found): Promise<RunningEngine["engine"] | undefined> {
  if (found.is === "running") return found.service.engine;
  const alone = read(config.dataDir, ENGINE_FILE, Engine);
  if (!alone || !isRunning(alone.pid)) return undefined;
  // An engine says that it is one.
  const health = await fetch(`${alone.engine.url}/health`, ask()).catch(() => null);
  return health?.headers.get("content-type")?.includes("json") ? alone.engine : undefined;
}

function read<T>(dataDir: string, name: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(join(dataDir, name), "utf8"))).data;
  } catch {
    return undefined;
  }
}

const ANSWER_MS = 3_000;
const ask = (): RequestInit => ({ signal: AbortSignal.timeout(ANSWER_MS), redirect: "error" });

/** After a crash its number may be another process's, which does not answer at the page's address. */
async function isHere(service: Service, config: Config): Promise<boolean> {
  if (!isRunning(service.pid)) return false;
  try {
    const response = await askPage(service, config, "/health");
    if (response.status === 401 || response.status === 403) return true;
    const { pid, status } = (await response.json()) as { pid?: number; status?: string };
    // Whoever has no token hears how it is, and not which process it is.
    return pid === undefined ? typeof status === "string" : pid === service.pid;
  } catch (thrown) {
    // A process that is stopped or has much to do is still there.
    return (thrown as Error).name === "TimeoutError";
  }
}

/** What the worker's page knows; some of it may be missing when the worker is of another version. */
export type ServiceState = State;

/** Null when nothing runs here, or when its page asks for a token that this command does not have; "silent" when it does not answer. */
export async function stateOf({
  config,
  found,
}: {
  config: Config;
  found: Found;
}): Promise<ServiceState | "silent" | null> {
  if (found.is !== "running") return null;
  const response = await askPage(found.service, config, "/state").catch(() => "silent" as const);
  if (response === "silent") return response;
  return response.ok ? ((await response.json()) as ServiceState) : null;
}

/** What an engine of ours says of itself. Another server says none of it. */
const EngineHealth = z.object({
  file: z.string().nullish(),
  quantization: z.string().nullish(),
  images: z.boolean().nullish(),
  chatTemplate: z.string().nullish(),
  slots: z.object({ total: z.number() }).nullish(),
  slotsFrom: z
    .object({
      from: z.string(),
      measuredAt: z.string().optional(),
      steady: z.boolean().optional(),
      sampling: z.string().optional(),
      next: z.object({ slots: z.number(), measuredAt: z.string() }).optional(),
    })
    .nullish(),
});
export type EngineHealth = z.output<typeof EngineHealth>;

/** Null when it does not answer, or says nothing of this. */
export async function engineHealthOf({ engine }: Service, config: Config): Promise<EngineHealth | null> {
  const token = tokenOf(engine, config.engine.token);
  const headers = token && { authorization: `Bearer ${token.reveal()}` };
  try {
    const response = await fetch(`${engine.url}/health`, { ...ask(), ...(headers && { headers }) });
    return EngineHealth.safeParse(await response.json()).data ?? null;
  } catch {
    return null;
  }
}

/** Why the engine of what runs here is not ready, as far as its page says. */
export async function engineErrorOf(here: { config: Config; found: Found }) {
  const state = await stateOf(here);
  return state === "silent" ? undefined : state?.engine?.error;
}

/**
 * What the service that runs here answers at a path of its page, as JSON. Throws the error that it answers with, `queue_unavailable` when
 * none runs, and `unauthorized` when it asks for a token that this command does not have.
 */
export async function askService(config: Config, path: string, method = "GET"): Promise<unknown> {
  const found = await findService(config);
  if (found.is !== "running")
    throw new KamadoError("queue_unavailable", "No Kamado runs here with this data folder.", {
      hint: "Start it with `npm start`, or set KAMADO_DATA_DIR to the folder of the one that runs.",
    });
  const response = await askPage(found.service, config, path, method);
  if (response.status === 401 || response.status === 403)
    throw new KamadoError("unauthorized", `${found.service.web.url} asks for a token.`, {
      hint: "Set KAMADO_WEB_TOKEN as it is set there.",
    });
  const answer = (await response.json().catch(() => ({}))) as {
    error?: { code: ErrorCode; message: string };
  };
  if (response.ok) return answer;
  const { code = "handler_failed", message = `${path} answered ${response.status}.` } = answer.error ?? {};
  throw new KamadoError(code in ERRORS ? code : "handler_failed", message);
}

/** Asks the page of a service, with the token where it is known. */
function askPage({ web }: Service, config: Config, path: string, method = "GET"): Promise<Response> {
  const token = tokenOf(web, config.web.token);
  return fetch(`${web.url}${path}`, {
    method,
    ...(token && { headers: { authorization: `Bearer ${token.reveal()}` } }),
    ...ask(),
  });
}

/** The token of this configuration, else that of the file that the service names. */
export function tokenOf(
  { tokenFile }: { tokenFile?: string | undefined },
  own: Secret | undefined,
): Secret | undefined {
  if (own !== undefined || tokenFile === undefined) return own;
  try {
    return secret(readFileSync(tokenFile, "utf8").trim());
  } catch {
    return undefined;
  }
}
