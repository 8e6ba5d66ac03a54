// The stations in the middle: the input is checked, what it points at fetched, the handler run and its output checked.
// From a job to an outcome; storing, delivering and deleting come after.
import { z } from "zod";
import type { Clock } from "../async/clock.ts";
import type { Lease } from "../consumer/lease.ts";
import { describeIssues, KamadoError, toKamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Context, Fetched, Handler, InputRefs, Model, Pages, Rest } from "../job/handler.ts";
import type { Outcome } from "../job/outcome.ts";
import { handlerOf, type Registry } from "../job/registry.ts";
import { failed, type Receipt, succeeded } from "../job/result.ts";
import type { JobEvents } from "../logging/job-events.ts";
import { DEFAULT_PRIORITY } from "./read-message.ts";

/** What the model part of a receipt says. */
export type ModelUse = Omit<Receipt, "queuedMs" | "attempts" | "worker">;

export type HandlerDependencies = {
  registry: Registry;
  inputs(refs: InputRefs, signal: AbortSignal): Promise<Fetched<InputRefs>>;
  modelFor(options: { model: string | undefined; priority: number; signal: AbortSignal }): {
    model: Model;
    used(): ModelUse;
  };
  pages: Pages;
  rest(signal: AbortSignal): Rest;
  jobEvents: JobEvents;
  clock: Clock;
  timeoutSeconds: number;
  workerName: string;
};

/** What a run needs to know of how its job came. */
export type Arrival = Pick<Lease, "message" | "receivedWall" | "signal">;

/** Runs a job. Never throws: whatever happens is an outcome. */
export async function executeHandler(
  job: Job,
  lease: Arrival,
  cut: AbortSignal,
  handlerDependencies: HandlerDependencies,
): Promise<Outcome> {
  const seconds = job.policy.timeoutSeconds ?? handlerDependencies.timeoutSeconds;
  const late = new AbortController();
  const ended = new AbortController();
  void handlerDependencies.clock.sleep(seconds * 1_000, ended.signal).then(() => {
    if (!ended.signal.aborted)
      late.abort(new KamadoError("timed_out", `It ran longer than ${seconds} seconds.`));
  });
  const signal = AbortSignal.any([lease.signal, cut, late.signal]);
  // When the handler ends, by one failed question of many, the others must not go on keeping the engine busy.
  const working = AbortSignal.any([signal, ended.signal]);
  const { model, used } = handlerDependencies.modelFor({
    model: job.policy.model,
    priority: job.policy.priority ?? DEFAULT_PRIORITY,
    signal: working,
  });
  const receipt = (): Receipt => ({ ...used(), ...arrival(lease, handlerDependencies) });

  try {
    signal.throwIfAborted();
    if (hasExpired(job, handlerDependencies.clock))
      throw new KamadoError("expired", `It was to be started before ${job.policy.expiresAt}.`);
    const output = await unlessAborted(runHandler(job, model, working, handlerDependencies), signal);
    return { is: "succeeded", job, result: succeeded(job.id, job.kind, output, receipt()), stored: false };
  } catch (thrown) {
    return afterError(
      toKamadoError(signal.aborted ? signal.reason : thrown, "handler_failed"),
      job,
      receipt(),
    );
  } finally {
    ended.abort();
  }
}

function afterError(error: KamadoError, job: Job, receipt: Receipt): Outcome {
  if (error.code === "lease_lost" || error.code === "stopping") return { is: "interrupted", why: error.code };
  const result = failed(job.id, job.kind, error, receipt);
  if (error.code === "expired" || error.code === "canceled")
    return { is: error.code, job, result, stored: false };
  if (!error.retry) return { is: "rejected", error, about: { job, result }, keep: true };
  const afterMs = error.detail?.retryAfterMs;
  return { is: "retry", error, about: { job, receipt }, ...(afterMs !== undefined && { afterMs }) };
}

async function runHandler(
  job: Job,
  model: Model,
  signal: AbortSignal,
  handlerDependencies: HandlerDependencies,
): Promise<unknown> {
  const handler = handlerOf(handlerDependencies.registry, job.kind);
  const input = check(handler.input, job.input, "invalid_input", "input");
  const inputs = await handlerDependencies.inputs(handler.inputs?.(input) ?? {}, signal);
  const context: Context<InputRefs> = {
    model,
    pages: handlerDependencies.pages,
    rest: handlerDependencies.rest(signal),
    inputs,
    progress: (done, what) =>
      handlerDependencies.jobEvents.tell(
        "progress",
        { job: job.id, kind: job.kind, done, ...(what && { what }) },
        "progress",
      ),
    signal,
  };
  const output = await callHandler(handler, input, context);
  return check(handler.output, output, "output_invalid", "output");
}

// A bug in a handler may pass by on another try (its model answers anew), a coded error says for itself whether it can.
async function callHandler(handler: Handler, input: unknown, context: Context<InputRefs>): Promise<unknown> {
  try {
    return await handler.run(input, context);
  } catch (thrown) {
    throw toKamadoError(thrown, "handler_failed");
  }
}

/** The value as its schema reads it. Throws `code` with every wrong field named. */
export function check(
  schema: z.ZodType,
  value: unknown,
  code: "invalid_input" | "output_invalid",
  name: string,
): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => ({ ...issue, path: [name, ...issue.path] }));
  throw new KamadoError(code, describeIssues(new z.ZodError(issues), { [name]: value }));
}

/** A handler that does not look at its signal must not hold its slot: the promise loses the race, its effects have no way out. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  promise.catch(() => {});
  work.catch(() => {});
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", onAbort));
}

const hasExpired = (job: Job, clock: Clock) =>
  job.policy.expiresAt !== undefined && Date.parse(job.policy.expiresAt) <= clock.wall();

function arrival(
  { message, receivedWall }: Arrival,
  { workerName }: HandlerDependencies,
): Pick<Receipt, "queuedMs" | "attempts" | "worker"> {
  const queuedMs = message.sentAt === null ? 0 : Math.max(0, receivedWall - message.sentAt);
  return { queuedMs, attempts: message.receiveCount, worker: workerName };
}
