// Delivers to a REST destination: makes the call that the job's handler forms from the result, with an idempotency key. What a todo service
// of the destinations file gets instead is in todo-change.ts.
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Handler, RestRequest, TodoChange } from "../job/handler.ts";
import { parseSent } from "../job/parse-sent.ts";
import { makerOf, type Registry } from "../job/registry.ts";
import { traceFields } from "../job/trace-context.ts";
import type { Log } from "../logging/log.ts";
import { type Destinations, isUnder } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { todoServiceAt } from "../todos/open.ts";
import type { TodoService } from "../todos/service.ts";
import { type Delivery, deliveryId } from "./deliver.ts";
import { asDelivery, judgeRest, sendDelivery } from "./http-answer.ts";
import { createTodoDelivery } from "./todo-change.ts";

export type RestOptions = {
  outbound: Outbound;
  registry: Registry;
  log: Log;
  clock: Pick<Clock, "wall">;
  /** The same as `outbound` has. */
  destinations: Destinations;
};

/** For each delivery the call to make, or null when there is none. */
export function createRest({ outbound, registry, log, clock, destinations }: RestOptions) {
  const deliverTodo = createTodoDelivery({ outbound, clock });
  return (delivery: Delivery, base: string): (() => Promise<void>) | null => {
    const { job, result, destination, isFirstTry, signal } = delivery;
    const nothing = (why: string) => {
      log.info({ job: job.id, stage: "deliver", kind: job.kind }, `no REST call: ${why}`);
      return null;
    };
    // A REST service cannot act on a failure; the other kinds of destination report it.
    if (result.status !== "succeeded") return nothing(`the job ${result.status}`);
    const handler = makerOf(result.output, registry, job.kind);
    const service = openService(destinations, base);
    if (service) {
      const change = formChange(handler, delivery);
      return change ? () => deliverTodo(service, change, delivery) : nothing("there is nothing to do");
    }
    const call = formCall(handler, delivery, base);
    if (!call) return nothing("there is nothing to do");
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const request = {
      method: call.method,
      url: call.url,
      headers: {
        "idempotency-key": deliveryId(job.id, destination),
        ...traceFields(job),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body }),
      isFirstTry,
      ...(signal && { signal }),
    };
    const send = () => sendDelivery(outbound, request, judgeRest, clock.wall());
    return isSame(base, call.url) ? send : () => send().catch(aboutItem);
  };
}

const isSame = (base: string, url: string) => {
  const [one, other] = [new URL(base), new URL(url)].map(({ origin, pathname }) => origin + pathname);
  return one!.replace(/\/$/, "") === other!.replace(/\/$/, "");
};

/** What the service answers for one item must not be taken for its own state. */
function aboutItem(thrown: unknown): never {
  if (!(thrown instanceof KamadoError)) throw thrown;
  const { code, message, detail } = thrown;
  throw new KamadoError(code, message, { cause: thrown.cause, detail: { ...detail, isOfItem: true } });
}

function openService(destinations: Destinations, base: string): TodoService | null {
  try {
    return todoServiceAt(destinations, base);
  } catch (thrown) {
    throw asDelivery(thrown);
  }
}

function formChange(handler: Handler, { result, input }: Delivery): TodoChange | null {
  if (!handler.todo)
    throw new KamadoError("no_request", `${handler.kind} says nothing that a todo service could be told.`);
  checkOutput(handler, result);
  return formed(handler, input, (read) => handler.todo!(result.output, read));
}

/** The handler's call. It must stay at or below `base`: a model's output may not lead it elsewhere on the same host. */
function formCall(handler: Handler, { result, input }: Delivery, base: string): RestRequest | null {
  if (!handler.request)
    throw new KamadoError("no_request", `${handler.kind} cannot be carried out as a REST call.`);
  checkOutput(handler, result);
  const call = formed(handler, input, (read) => handler.request!(result.output, base, read));
  if (call && !isUnder(base, call.url))
    throw new KamadoError("address_refused", `The REST call of ${handler.kind} leaves its destination.`);
  return call;
}

function checkOutput(handler: Handler, { outputRef }: Delivery["result"]): void {
  if (outputRef !== undefined)
    throw new KamadoError("delivery_rejected", `The output of ${handler.kind} is too long for a REST call.`);
}

function formed<T>(handler: Handler, input: unknown, form: (input: unknown) => T): T {
  // The job has its input as it was sent; the handler expects it as `run` gets it.
  const parsed = parseSent(handler.input, input);
  try {
    return form(parsed.success ? parsed.data : input);
  } catch (cause) {
    throw new KamadoError("delivery_rejected", `${handler.kind} could not form its REST call.`, { cause });
  }
}
