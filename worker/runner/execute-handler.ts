// Runs a job's handler: checks the input, fetches what it points at, runs the handler within its time, and checks the output.
// From a job to an outcome; storing, delivering and deleting come after.
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import type { Lease } from "../consumer/lease.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { type Budgets, budgetExceeded } from "../job/budgets.ts";
import { checkInput, checkOutput } from "../job/check-values.ts";
import type { Job } from "../job/envelope.ts";
import type { Context, Fetched, Handler, InputRefs, Model } from "../job/handler.ts";
import type { Outcome } from "../job/outcome.ts";
import { handlerOf, isHandlerMissing, keepMaker } from "../job/registry.ts";
import { failed, type Receipt, succeeded } from "../job/result.ts";
import { tenantOf } from "../job/tenant.ts";
import { readTraceContext, traceIdOf } from "../job/trace-context.ts";
import { NOTHING_USED } from "../model/model.ts";
import type { Reservation } from "../tenants/daily-usage.ts";
import { inSpan, passOn } from "../tracing/tracer.ts";
import { contextOf, type HandlerDependencies } from "./handler-context.ts";
import { DEFAULT_PRIORITY } from "./read-message.ts";

/**
 * What a run needs to know of how its job came. `signal` fires when the job must end. `attempts` are the started runs with this
 * one, of `maxAttempts`.
 */
export type Arrival = Pick<Lease, "message" | "receivedWall" | "signal"> & {
  attempts: number;
  maxAttempts: number;
};

/** Runs a job. Never throws: whatever happens is an outcome. */
export async function executeHandler(
  job: Job,
  arrival: Arrival,
  stop: AbortSignal,
  dependencies: HandlerDependencies,
): Promise<Outcome> {
  using time = timeLimit(job, dependencies);
  const signal = AbortSignal.any([arrival.signal, stop, time.over]);
  // When the handler ends because one of its questions failed, its other questions must not keep the engine busy.
  const working = AbortSignal.any([signal, time.ended]);
  const { model, used } = dependencies.modelFor({
    model: job.policy.model,
    priority: job.policy.priority ?? DEFAULT_PRIORITY,
    signal: working,
    trace: job,
  });
  const began = dependencies.clock.now();
  const receipt = (): Receipt => ({
    ...used(),
    ...receiptOf(arrival, dependencies),
    runMs: Math.round(dependencies.clock.now() - began),
    ...energyOf(job, dependencies),
    ...traceOf(job),
  });
  let today: Reservation | undefined;
  const counted = (outcome: Outcome): Outcome => {
    const { promptTokens, completionTokens } = used();
    const [tokens, seconds] = [promptTokens + completionTokens, (dependencies.clock.now() - began) / 1_000];
    today?.end({ tokens, seconds, wasRun: outcome.is !== "interrupted" });
    return outcome;
  };
  try {
    signal.throwIfAborted();
    if (arrival.attempts > arrival.maxAttempts) throw noneLeft(arrival);
    if (hasExpired(job, dependencies.clock))
      throw new KamadoError("expired", `It was to be started before ${job.policy.expiresAt}.`);
    refuseLongTimeout(job, dependencies.budgets);
    const { id, kind, policy } = job;
    const { attempts: attempt, message } = arrival;
    today = dependencies.usage?.begin({ tenant: tenantOf(policy, message), kind }, { attempt });
    dependencies.jobEvents.emit({ stage: "started", job: id, kind, attempt }, "started");
    // A handler that ignores its signal must not hold its slot: its promise loses this race, and its effects have no way out.
    const output = await unlessAborted(
      runHandler(job, model, { signal: working, timeLeftMs: time.leftMs, used }, dependencies),
      signal,
    );
    const result = succeeded(id, kind, output, receipt());
    return counted({ is: "succeeded", job, result, stored: false });
  } catch (thrown) {
    const error = toKamadoError(signal.aborted ? signal.reason : thrown, "handler_failed");
    return counted(afterError(error, job, receipt()));
  }
}

function energyOf({ id }: Job, { joulesOf }: HandlerDependencies): Pick<Receipt, "joules"> {
  const joules = joulesOf?.(id);
  return joules === undefined ? {} : { joules };
}

/** `over` fires with `timed_out` when the job has run too long; `ended` when it is disposed of. */
function timeLimit(job: Job, { clock, timeoutSeconds }: HandlerDependencies) {
  const seconds = job.policy.timeoutSeconds ?? timeoutSeconds;
  const [over, ended] = [new AbortController(), new AbortController()];
  const end = clock.now() + seconds * 1_000;
  void clock.sleep(seconds * 1_000, ended.signal).then(() => {
    if (!ended.signal.aborted)
      over.abort(new KamadoError("timed_out", `It ran longer than ${seconds} seconds.`));
  });
  const leftMs = () => Math.max(0, end - clock.now());
  return { over: over.signal, ended: ended.signal, leftMs, [Symbol.dispose]: () => ended.abort() };
}

/** A shorter limit than the sender asked for would end the job where the sender does not expect it, so it is refused instead. */
function refuseLongTimeout({ policy: { timeoutSeconds = 0 } }: Job, { seconds }: Budgets): void {
  if (timeoutSeconds > seconds) throw budgetExceeded("seconds", seconds, timeoutSeconds);
}

/** By which the sender finds the trace. */
function traceOf(job: Job): Pick<Receipt, "traceId"> {
  const trace = readTraceContext(job);
  return trace ? { traceId: traceIdOf(trace) } : {};
}

function refuseLongOutput(output: unknown, { resultBytes }: Budgets): unknown {
  const bytes = Buffer.byteLength(JSON.stringify(output) ?? "");
  if (bytes > resultBytes) throw budgetExceeded("resultBytes", resultBytes, bytes);
  return output;
}

function afterError(error: KamadoError, job: Job, receipt: Receipt): Outcome {
  if (error.code === "lease_lost" || error.code === "stopping") return { is: "interrupted", why: error.code };
  if (error.detail?.heldBack)
    return { is: "interrupted", why: "held_back", afterMs: error.detail.retryAfterMs ?? 0 };
  const result = failed(job.id, job.kind, error, receipt);
  if (error.code === "expired" || error.code === "canceled")
    return { is: error.code, job, result, stored: false };
  const mayRunLater = isHandlerMissing(error.code) || error.detail?.retryAt !== undefined;
  const deadLetter = error.code === "attempts_exhausted" || mayRunLater;
  if (!error.retry) return { is: "rejected", error, about: { job, result }, keep: true, deadLetter };
  const afterMs = error.detail?.retryAfterMs;
  return { is: "retry", error, about: { job, receipt }, ...(afterMs !== undefined && { afterMs }) };
}

async function runHandler(
  job: Job,
  model: Model,
  run: Pick<Context, "signal" | "timeLeftMs" | "used">,
  dependencies: HandlerDependencies,
): Promise<unknown> {
  const handler = handlerOf(dependencies.registry, job.kind);
  const input = checkInput(handler.input, job.input);
  const inputs = await fetchInputs(handler.inputs?.(input) ?? {}, job, run.signal, dependencies);
  const output = await callHandler(handler, input, contextOf(job, model, inputs, run, dependencies));
  const checked = checkOutput(handler.output, output);
  keepMaker(checked, handler);
  return refuseLongOutput(checked, dependencies.budgets);
}

async function fetchInputs(
  refs: InputRefs,
  job: Job,
  signal: AbortSignal,
  { inputs, jobEvents, clock, tracer = passOn }: HandlerDependencies,
): Promise<Fetched<InputRefs>> {
  if (Object.values(refs).every((ref) => ref === undefined)) return inputs(refs, signal);
  const { id, kind } = job;
  const began = clock.now();
  const fetched = await inSpan(tracer, "inputs", { parent: job }, () => inputs(refs, signal));
  const tookMs = Math.round(clock.now() - began);
  jobEvents.emit({ stage: "inputs_fetched", job: id, kind, tookMs }, "inputs fetched");
  return fetched;
}

// An unexpected error may pass with another attempt, because the model answers anew. A coded error says for itself whether it can.
async function callHandler(handler: Handler, input: unknown, context: Context<InputRefs>): Promise<unknown> {
  try {
    return await handler.run(input, context);
  } catch (thrown) {
    throw toKamadoError(thrown, "handler_failed");
  }
}

/** The last of them ended without an outcome, or its outcome was lost, so nobody has given the job up yet. */
const noneLeft = ({ maxAttempts }: Arrival) =>
  new KamadoError(
    "attempts_exhausted",
    `${maxAttempts} runs of the job were started and none left a result: the worker died during the last one, or could not store what it gave.`,
  );

const hasExpired = (job: Job, clock: Clock) =>
  job.policy.expiresAt !== undefined && Date.parse(job.policy.expiresAt) <= clock.wall();

/** The receipt of a job that did not run. */
export const unusedReceipt = (
  { message, receivedWall }: Pick<Lease, "message" | "receivedWall">,
  dependencies: HandlerDependencies,
): Receipt => ({
  ...NOTHING_USED,
  ...receiptOf({ message, receivedWall, attempts: 0, maxAttempts: 0 }, dependencies),
});

function receiptOf(
  { message, receivedWall, attempts, maxAttempts }: Omit<Arrival, "signal">,
  { workerName }: HandlerDependencies,
): Pick<Receipt, "queuedMs" | "attempts" | "worker"> {
  const queuedMs = message.sentAt === null ? 0 : Math.max(0, receivedWall - message.sentAt);
  return { queuedMs, attempts: Math.min(attempts, maxAttempts), worker: workerName };
}
