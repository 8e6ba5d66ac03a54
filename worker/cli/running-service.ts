// The Kamado that runs on this machine, for the commands of other terminals: `serve` and `worker` say in a file of the data folder where
// their engine, page and queues are. Owns the file and whether the process that wrote it still runs. It never holds a secret: of a token it
// names the file, if there is one.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import type { Cloud } from "../aws/resources.ts";
import type { Config } from "../config/config.ts";
import { type Secret, secret } from "../config/secret.ts";
import type { State } from "../console/state.ts";

const FILE = "service.json";

const Part = z.object({ url: z.string(), tokenFile: z.string().optional() });
const Service = z.object({
  pid: z.int().positive(),
  startedAt: z.string(),
  engine: Part.extend({ model: z.string(), isDemo: z.boolean() }),
  web: Part,
  cloud: z.object({
    /** Only that of the embedded AWS, whose keys are the same for all who use this machine. */
    isLocal: z.boolean(),
    endpoint: z.string().optional(),
    region: z.string(),
    keyFile: z.string().optional(),
    queueUrl: z.string(),
    queues: z.array(z.object({ url: z.string(), weight: z.number() })).optional(),
    deadQueueUrl: z.string(),
    deliveriesQueueUrl: z.string().optional(),
    deadDeliveriesQueueUrl: z.string(),
    topicArn: z.string().optional(),
    bucket: z.string(),
  }),
});
export type Service = z.output<typeof Service>;

type Started = { engineUrl: string; webUrl: string; isLocal: boolean };

/** Writes the file; the function returned removes it, unless another service has written it since. */
export function announceService(
  config: Config,
  cloud: Cloud,
  { engineUrl, webUrl, isLocal }: Started,
): () => void {
  const { endpoint, region } = cloud.aws;
  const { aws: _, ...queues } = cloud;
  const { engine, web, local } = config.secretFiles;
  const service: Service = Service.parse({
    pid: process.pid,
    startedAt: new Date().toISOString(),
    engine: {
      url: engineUrl,
      tokenFile: engine,
      model: nameOfModel(config.engine.model),
      isDemo: config.engine.isDemo,
    },
    web: { url: webUrl, tokenFile: web },
    cloud: { ...queues, isLocal, endpoint, region, keyFile: local, bucket: config.bucket },
  });
  const path = join(config.dataDir, FILE);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  // Whoever reads it meanwhile finds the old file or the new one.
  writeFileSync(`${path}.${process.pid}`, `${JSON.stringify(service)}\n`, { mode: 0o600 });
  renameSync(`${path}.${process.pid}`, path);
  return () => {
    if (readService(config.dataDir)?.pid === process.pid) rmSync(path, { force: true });
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
  const service = readService(config.dataDir);
  if (!service) return { is: "none" };
  const { pid } = service;
  return (await isRunning(service, config)) ? { is: "running", service } : { is: "stale", pid };
}

function readService(dataDir: string): Service | undefined {
  try {
    return Service.safeParse(JSON.parse(readFileSync(join(dataDir, FILE), "utf8"))).data;
  } catch {
    return undefined;
  }
}

const ANSWER_MS = 3_000;

/** After a crash its number may be another process's, which does not answer at the page's address. */
async function isRunning(service: Service, config: Config): Promise<boolean> {
  if (!isAlive(service.pid)) return false;
  try {
    const response = await askPage(service, config, "/health");
    if (response.status === 401 || response.status === 403) return true;
    const { pid } = (await response.json()) as { pid?: number };
    return pid === service.pid;
  } catch (thrown) {
    // A process that is stopped or has much to do is still there.
    return (thrown as Error).name === "TimeoutError";
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** What the worker's page knows; some of it may be missing when the worker is of another version. */
export type ServiceState = State;

/** Null when nothing runs here, or when its page asks for a token that this command does not have. */
export async function stateOf({
  config,
  found,
}: {
  config: Config;
  found: Found;
}): Promise<ServiceState | null> {
  if (found.is !== "running") return null;
  const response = await askPage(found.service, config, "/state").catch(() => null);
  return response?.ok ? ((await response.json()) as ServiceState) : null;
}

/** Asks the page of a service, with the token where it is known. */
function askPage({ web }: Service, config: Config, path: string): Promise<Response> {
  const token = tokenOf(web, config.web.token);
  return fetch(`${web.url}${path}`, {
    ...(token && { headers: { authorization: `Bearer ${token.reveal()}` } }),
    signal: AbortSignal.timeout(ANSWER_MS),
    redirect: "error",
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
