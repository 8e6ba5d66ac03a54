// Which receiver a destination belongs to: what is paced, and what a circuit opens for. Pure.
import type { Destination } from "../job/envelope.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";

/** The matching entry of the destinations file, else the origin, topic or queue. */
export function lineOf(destinations: Destinations, destination: Destination): string {
  const [[kind, address]] = Object.entries(destination) as [[string, string]];
  const own = kind === "callback" || kind === "rest" ? new URL(address).origin : address;
  return destinationFor(destinations, address)?.match ?? own;
}
