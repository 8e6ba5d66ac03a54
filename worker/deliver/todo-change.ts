// Delivers to a todo service that the destinations file names: reads what the service needs to know first, and makes the change. A service
// that remembers no keys is asked whether it has the change already, so that a repeated delivery adds nothing.
import type { Clock } from "../async/clock.ts";
import { Semaphore } from "../async/semaphore.ts";
import { KamadoError } from "../errors.ts";
import type { TodoChange } from "../job/handler.ts";
import { traceFields } from "../job/trace-context.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { TodoService } from "../todos/service.ts";
import { type Delivery, deliveryId, nameOf } from "./deliver.ts";
import { asDelivery, FIRST_TIMEOUT_MS, TIMEOUT_MS } from "./http-answer.ts";

type Options = { outbound: Outbound; clock: Pick<Clock, "wall"> };

export function createTodoDelivery({ outbound, clock }: Options) {
  const turns = new Turns();

  /** All calls of one change together have the time of one try, and each is made only while the delivery is ours. */
  function sender({ job, isFirstTry, signal, isOurs }: Delivery): Outbound["send"] {
    const until = clock.wall() + (isFirstTry ? FIRST_TIMEOUT_MS : TIMEOUT_MS);
    let isFirst = true;
    return async (request) => {
      if (!isFirst && isOurs && !(await isOurs()))
        throw new KamadoError("lease_lost", "Another worker has the job.");
      isFirst = false;
      const timeoutMs = Math.max(1, until - clock.wall());
      const headers = { ...request.headers, ...traceFields(job) };
      return outbound.send({ ...request, headers, timeoutMs, ...(signal && { signal }) });
    };
  }

  /** Throws as `Deliver` does. */
  return async (service: TodoService, change: TodoChange, delivery: Delivery): Promise<void> => {
    const { job, destination, signal } = delivery;
    const key = deliveryId(job.id, destination);
    const apply = () => service.apply(change, key, sender(delivery));
    const made = "id" in change ? turns.take([nameOf(destination), change.id], apply, signal) : apply();
    await made.catch((thrown) => {
      signal?.throwIfAborted();
      throw asDelivery(thrown);
    });
  };
}

/** Notes for one todo come one after the other: each is added to the text as it was read, and would overwrite another. */
class Turns {
  readonly #todos = new Map<string, { turn: Semaphore; users: number }>();

  async take(todo: readonly string[], work: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    const key = JSON.stringify(todo);
    const own = this.#todos.get(key) ?? { turn: new Semaphore(1), users: 0 };
    this.#todos.set(key, own);
    own.users += 1;
    try {
      await own.turn.take(work, signal);
    } finally {
      own.users -= 1;
      if (own.users === 0) this.#todos.delete(key);
    }
  }
}
