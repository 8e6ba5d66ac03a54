// Delivers to every kind of destination, at the pace of its receiver and only while the receiver's circuit allows it.
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
import { Pace } from "./pace.ts";
import { createRest } from "./rest.ts";
import { createSns, type Topic } from "./sns.ts";
import { createSqs } from "./sqs.ts";

export type DeliverOptions = {
  outbound: Outbound;
  topic: Topic;
  queueFor: (url: string) => Pick<Queue, "send">;
  registry: Registry;
  log: Log;
  /** The same as `outbound` has. */
  destinations?: Destinations;
  /** Where the queues are if not at AWS itself. */
  awsEndpoint?: string | undefined;
  /** The addresses of the worker's own queues, to which no job may deliver. */
  ownQueues?: readonly string[];
  clock?: Pick<Clock, "now" | "wall">;
  /** For whoever wants to see which of them are open. */
  circuits?: Circuits;
};

export function createDeliver(options: DeliverOptions): Deliver {
  const {
    outbound,
    topic,
    queueFor,
    registry,
    log,
    destinations = [],
    ownQueues = [],
    clock = systemClock,
  } = options;
  const callback = createCallback({ outbound, destinations, clock });
  const rest = createRest({ outbound, registry, log, clock, destinations });
  const sns = createSns(topic);
  const sqs = createSqs({ queueFor, destinations, endpoint: options.awsEndpoint, ownQueues });
  const pace = new Pace({ destinations, clock });
  const circuits = options.circuits ?? new Circuits({ clock, log });

  /** The call to make; null when there is none. */
  function prepare(delivery: Delivery): (() => Promise<void>) | null {
    const { destination: to } = delivery;
    if ("rest" in to) return rest(delivery, to.rest);
    if ("callback" in to) return () => callback(delivery, to.callback);
    return "sns" in to ? () => sns(delivery, to.sns) : () => sqs(delivery, to.sqs);
  }
  return async (delivery) => {
    // Before pace and circuit: a delivery without a call does not wait for its receiver and says nothing about it.
    const send = prepare(delivery);
    if (!send) return "nothing to send";
    const { destination, signal, insist } = delivery;
    // Before it takes a place, so that a receiver that is down takes none.
    if (!insist) circuits.check(destination);
    // And again after the wait, which may be long: a circuit may have opened in the meantime.
    const guarded = async () => {
      if (delivery.isOurs && !(await delivery.isOurs()))
        throw new KamadoError("lease_lost", "Another worker has the job.");
      await circuits.run(destination, send, insist);
    };
    await pace.run(destination, signal, guarded, insist);
    return "sent";
  };
}
