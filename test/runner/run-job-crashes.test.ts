// A worker that dies between any two steps of a delivery: what it did stays done, what it did not is done by the next one,
// and what is done twice carries the same key. The dead one is cut off from everything, as a process that is gone.
import { expect, test } from "vitest";
import { type Delivery, deliveryId, nameOf } from "../../worker/deliver/deliver.ts";
import { KamadoError } from "../../worker/errors.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig, type Rig, type Run } from "../rig.ts";

const DOWN = { callback: "https://down.example/hook" };
const UP = { callback: "https://up.example/hook" };
const gone = new Promise<never>(() => {});

/** Counts a worker's effects and lets it live for so many; afterwards no call of its comes to an end. */
class Life {
  readonly effects: string[] = [];
  #left: number;

  constructor(left: number) {
    this.#left = left;
  }
  get isOver(): boolean {
    return this.#left <= 0;
  }
  effect(name: string): void {
    this.effects.push(name);
    this.#left -= 1;
  }

  /** The same port for this worker; `named` methods are effects, and the worker may die right after one, unanswered. */
  of<T extends object>(port: T, who: string, named: readonly string[]): T {
    return new Proxy(port, {
      get: (target, key) => {
        const member = Reflect.get(target, key, target);
        if (typeof member !== "function") return member;
        return async (...given: unknown[]) => {
          if (this.isOver) return gone;
          if (named.includes(String(key))) this.effect(`${who}.${String(key)}`);
          const answer = await Reflect.apply(member, target, given);
          return this.isOver ? gone : answer;
        };
      },
    });
  }
}

function world() {
  const clock = new FakeClock();
  const queues = ["jobs", "dead", "outbox", "deadDeliveries"].map((name) => new FakeQueue(name, { clock }));
  const [queue, dead, outbox, deadDeliveries] = queues as [FakeQueue, FakeQueue, FakeQueue, FakeQueue];
  return { clock, queue, dead, outbox, deadDeliveries, bucket: new FakeBucket({ clock }) };
}

/** What receivers that honour keys did, and how often each key came. The one that is down works again at the third try. */
class Receivers {
  readonly came = new Map<string, number>();
  readonly effects: string[] = [];
  readonly #status: number;
  #failures = 2;

  constructor(status: number) {
    this.#status = status;
  }
  take({ job, destination, result }: Delivery): void {
    const key = deliveryId(job.id, destination, `job.${result.status}`);
    this.came.set(key, (this.came.get(key) ?? 0) + 1);
    if (nameOf(destination) === nameOf(DOWN) && this.#failures-- > 0)
      throw new KamadoError(this.#status < 500 ? "delivery_rejected" : "delivery_failed", "no", {
        detail: { httpStatus: this.#status },
      });
    if (!this.effects.includes(key)) this.effects.push(key);
  }
}

function worker(shared: ReturnType<typeof world>, receivers: Receivers, life: Life): Rig {
  const alive = {
    clock: shared.clock,
    queue: life.of(shared.queue, "jobs", ["remove"]),
    dead: life.of(shared.dead, "dead", ["send"]),
    outbox: life.of(shared.outbox, "outbox", ["send", "remove"]),
    deadDeliveries: life.of(shared.deadDeliveries, "dead-deliveries", ["send"]),
    bucket: life.of(shared.bucket, "bucket", ["put"]),
  };
  return createRig({
    shared: alive,
    deliver: async (delivery) => {
      if (life.isOver) return gone;
      life.effect(`deliver ${Object.values(delivery.destination)[0]!.slice(8, 12)}`);
      receivers.take(delivery);
      return life.isOver ? gone : undefined;
    },
  });
}

/** Runs worker after worker, each as long as its life; what runs is ended by `end`. */
async function lives(
  shared: ReturnType<typeof world>,
  first: Life,
  end: (run: Run) => void,
  receivers: Receivers,
) {
  const rigs = [worker(shared, receivers, first)];
  const go = (rig: Rig) => {
    rig.consumer.start();
    rig.outboxConsumer.start();
  };
  go(rigs[0]!);
  for (let second = 0; second < 1_200; second++) {
    if (first.isOver && rigs.length === 1)
      go(rigs[rigs.push(worker(shared, receivers, new Life(1_000))) - 1]!);
    for (const { runs } of rigs) for (const run of runs) end(run);
    await shared.clock.advance(1_000);
  }
  return rigs.flatMap(({ runs }) => runs).length;
}

/** One job with a receiver that works and one that does not yet; the first worker dies after so many effects. */
async function live(effects: number, status = 503) {
  const [shared, receivers, life] = [world(), new Receivers(status), new Life(effects)];
  const job = { id: "a", kind: "work", input: { name: "a" }, deliver: [UP, DOWN] };
  await shared.queue.send(JSON.stringify(job));
  const runs = await lives(shared, life, (run) => run.finish(), receivers);
  return { shared, receivers, life, runs };
}

const FOREVER = 1_000;
const table = await live(FOREVER);

test("undisturbed: result, both tries, outbox, log, deletion; then the outbox's own tries", () => {
  expect(table.life.effects.filter((effect) => !effect.startsWith("bucket"))).toEqual([
    "deliver up.e",
    "deliver down",
    "outbox.send",
    "jobs.remove",
    "deliver down",
    "deliver down",
    "outbox.remove",
  ]);
});

test.each(table.life.effects.map((effect, index) => [index + 1, effect] as const))(
  "the worker dies after effect %i (%s): both receivers act once, nothing is left, and nothing runs more than twice",
  async (count) => {
    const { shared, receivers, runs } = await live(count);
    expect(receivers.effects).toHaveLength(2);
    expect(receivers.came.size).toBe(2);
    for (const { messages } of [shared.queue, shared.outbox, shared.dead, shared.deadDeliveries])
      expect(messages).toEqual([]);
    expect(runs).toBeLessThanOrEqual(2);
  },
);

const refused = await live(FOREVER, 404);

test.each(refused.life.effects.map((effect, index) => [index + 1, effect] as const))(
  "a refused delivery becomes a dead letter even if the worker dies after effect %i (%s)",
  async (count) => {
    const { shared, receivers } = await live(count, 404);
    const isDelivered = receivers.effects.some((key) => key === deliveryId("a", DOWN, "job.succeeded"));
    expect(shared.deadDeliveries.messages.length > 0 || isDelivered).toBe(true);
    expect([shared.queue.messages, shared.outbox.messages]).toEqual([[], []]);
  },
);

/** One job that fails at every attempt; the first worker dies after so many effects. */
async function exhaust(effects: number) {
  const [shared, receivers, life] = [world(), new Receivers(503), new Life(effects)];
  const job = { id: "a", kind: "work", input: { name: "a" }, deliver: [UP] };
  await shared.queue.send(JSON.stringify(job));
  const fail = (run: Run) => run.fail(new KamadoError("handler_failed", "no"));
  await lives(shared, life, fail, receivers);
  return { shared, receivers, life };
}
const exhausted = await exhaust(FOREVER);

test.each(exhausted.life.effects.map((effect, index) => [index + 1, effect] as const))(
  "a job that used up its attempts is delivered as failed and dead-lettered even if the worker dies after effect %i (%s)",
  async (count) => {
    const { shared, receivers } = await exhaust(count);
    expect(receivers.effects).toEqual([deliveryId("a", UP, "job.failed")]);
    expect(shared.queue.messages).toEqual([]);
    expect(shared.dead.messages.length).toBeGreaterThan(0);
    for (const { attributes } of shared.dead.messages)
      expect(attributes["kamado-code"]).toBe("attempts_exhausted");
  },
);
