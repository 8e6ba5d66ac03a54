// Puts the four kinds of delivery together behind the one port, each in its destination's line and behind its circuit.
import { type Clock, systemClock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Registry } from "../job/registry.ts";
import type { Log } from "../logging/log.ts";
import type { Destinations } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { Queue } from "../queue/queue.ts";
import { createCallback } from "./callback.ts";
import { Circuits } from "./circuit.ts";
import type { Deliver, Delivery } from "./deliver.ts";
import { receiverOf } from "./deliver.ts";
import { Pace } from "./pace.ts";
import { createRest } from "./rest.ts";
import type { Topic } from "./sns.ts";
import { createSns } from "./sns.ts";
import { createSqs } from "./sqs.ts";

export type DeliverOptions = {
  outbound: Outbound;
  topic: Topic;
  queueFor: (url: string) => Pick<Queue, "send">;
  registry: Registry;
  log: Log;
  /** The same that `outbound` has. */
  destinations?: Destinations;
  /** Where the queues are when they are not AWS's own. */
  awsEndpoint?: string | undefined;
  clock?: Pick<Clock, "now" | "wall">;
};

export function createDeliver(options: DeliverOptions): Deliver {
  const {
    outbound,
    topic,
    queueFor,
    registry,
    log,
    destinations = [],
    awsEndpoint,
    clock = systemClock,
  } = options;
  const callback = createCallback({ outbound, destinations, clock });
  const rest = createRest({ outbound, registry, log, clock });
  const sns = createSns(topic);
  const sqs = createSqs({ queueFor, destinations, endpoint: awsEndpoint });
  const pace = new Pace({ destinations, clock });
  const circuits = new Circuits({ clock, log });

  /** What is to be sent; null when that is nothing. */
  function prepare(delivery: Delivery): (() => Promise<void>) | null {
    const { destination: to } = delivery;
    if ("rest" in to) return rest(delivery, to.rest);
    if ("callback" in to) return () => callback(delivery, to.callback);
    return "sns" in to ? () => sns(delivery, to.sns) : () => sqs(delivery, to.sqs);
  }
  return async (delivery) => {
    // Before line and circuit: what needs no call neither waits for its receiver nor says anything about it.
    const send = prepare(delivery);
    if (!send) return;
    const { destination, signal, insist } = delivery;
    // Inside the line, which may have been long: what waits behind the failures that open a circuit is held back as well.
    const guarded = async () => {
      if (delivery.isOurs && !(await delivery.isOurs()))
        throw new KamadoError("lease_lost", "Another worker has the job.");
      await circuits.run(receiverOf(destinations, destination), send, insist);
    };
    await pace.run(destination, signal, guarded, insist);
  };
}
