// One job here and now, without a queue: the middle of a job's life with the same parts the worker uses.
import { type AwsConfig, makeAwsClients } from "./aws.ts";
import { s3Blobs } from "./blobs/s3.ts";
import { systemClock } from "./clock.ts";
import { type Config, HANDLERS } from "./config.ts";
import { KamadoError } from "./errors.ts";
import type { Job } from "./job/envelope.ts";
import type { Outcome } from "./job/outcome.ts";
import { handlerOf, loadRegistry } from "./job/registry.ts";
import type { Result } from "./job/result.ts";
import type { Log } from "./log.ts";
import { EngineClient } from "./model/engine-client.ts";
import { openEngine } from "./open-engine.ts";
import { loadDestinations } from "./outbound/destinations.ts";
import { createOutbound } from "./outbound/outbound.ts";
import { untilAborted } from "./outbound/until-aborted.ts";
import { Journal, type Listener } from "./run/journal.ts";
import { perform } from "./run/perform.ts";
import { createWorkshop } from "./run/workshop.ts";

export type SoloOptions = { config: Config; aws: AwsConfig; log: Log; signal: AbortSignal; watch: Listener };

/** Runs a job to its result, starting an engine for it when there is none. Throws what another try could mend. */
export async function runAlone(job: Job, { config, aws, log, signal, watch }: SoloOptions): Promise<Result> {
  await using stack = new AsyncDisposableStack();
  const registry = await loadRegistry(HANDLERS);
  handlerOf(registry, job.kind);
  const clients = makeAwsClients(aws);
  stack.defer(() => clients.destroy());
  const outbound = createOutbound({ destinations: loadDestinations(config.destinationsFile) });
  stack.defer(() => outbound.close());
  const engine = await openEngine(config, log);
  stack.defer(() => engine.stop());
  const client = new EngineClient({ url: engine.url, token: config.engine.token?.reveal() });
  stack.defer(() => client.close());

  // Of one of our own its supervisor knows when it can serve, and when it never will; another has to be asked.
  const ready = config.engine.url === undefined ? engine.ready() : untilItAnswers(client, signal);
  await untilAborted<unknown>(ready, signal);
  const journal = new Journal(log);
  journal.watch(watch);
  const blobs = s3Blobs(clients.s3);
  const workshop = createWorkshop({ config, registry, blobs, outbound, client, journal, clock: systemClock });
  const now = systemClock.wall();
  const message = { id: job.id, queue: "", body: "", receipt: "", sentAt: now, receiveCount: 1, group: null };
  return resultOf(
    await perform(job, { message, receivedWall: now, signal }, new AbortController().signal, workshop),
  );
}

const ASK_EVERY_MS = 500;
/** So often in a row it does not answer at all until it counts as gone. */
const MISSES = 5;
/** As long as a model may take to load in an engine of our own. */
const LOAD_MS = 900_000;

/** Waits while somebody else's engine loads. Throws `engine_unavailable` when it is gone, or loads for ever. */
async function untilItAnswers(client: EngineClient, signal: AbortSignal): Promise<void> {
  const end = systemClock.now() + LOAD_MS;
  for (let misses = 0; !signal.aborted; await systemClock.sleep(ASK_EVERY_MS, signal)) {
    const health = await client.health();
    if (health.is === "ready") return;
    misses = health.is === "down" ? misses + 1 : 0;
    const reason = health.is === "down" ? health.reason : "it says that it is loading";
    if (misses === MISSES || systemClock.now() > end)
      throw new KamadoError("engine_unavailable", `The engine does not answer: ${reason}`);
  }
}

function resultOf(outcome: Outcome): Result {
  if ("result" in outcome) return outcome.result;
  if (outcome.is === "rejected" && outcome.about) return outcome.about.result;
  if (outcome.is === "retry") throw outcome.error;
  throw new KamadoError("canceled", "The job was interrupted.");
}
