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
import { Gate } from "./run/gate.ts";
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

  await engine.ready();
  const probe = async () => (await client.health()).is === "ready";
  await new Gate({ what: "engine", probe, clock: systemClock, log }).ready(signal);
  const journal = new Journal(log);
  journal.watch(watch);
  const blobs = s3Blobs(clients.s3);
  const workshop = createWorkshop({ config, registry, blobs, outbound, client, journal, clock: systemClock });
  const now = systemClock.wall();
  const message = { id: job.id, body: "", receipt: "", sentAt: now, receiveCount: 1, group: null };
  return resultOf(
    await perform(job, { message, receivedWall: now, signal }, new AbortController().signal, workshop),
  );
}

function resultOf(outcome: Outcome): Result {
  if ("result" in outcome) return outcome.result;
  if (outcome.is === "rejected" && outcome.about) return outcome.about.result;
  if (outcome.is === "retry") throw outcome.error;
  throw new KamadoError("canceled", "The job was interrupted.");
}
