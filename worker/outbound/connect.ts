// The only place that opens sockets to addresses somebody else chose. It resolves a name once, and the socket gets only the
// addresses that passed the rules: a name that resolves differently the next time (DNS rebinding) gains nothing.
import { lookup as systemLookup } from "node:dns/promises";
import type { LookupFunction } from "node:net";
import { Agent, buildConnector } from "../http/undici.ts";
import { checkHost, type Resolved, reachable } from "./addresses.ts";
import { keepAnswers } from "./raw-answer.ts";

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly Resolved[]>;

export const systemResolve: Resolve = (hostname) => systemLookup(hostname, { all: true });

/** Shorter than any request may take, so that a host that is not there is known from one that does not answer. */
export const CONNECT_TIMEOUT_MS = 5_000;

/** Of an answer, in bytes. Gateways add cookies and policies to it until they are longer than what a sender is used to. */
const MAX_HEADERS = 256 * 1024;

/**
 * Connections under one rule. An agent reuses an open connection for every request to the same origin, so connections that
 * may reach the home network need an agent of their own.
 */
export function createAgent(resolve: Resolve, allowPrivate: boolean): Agent {
  const connect = buildConnector({
    lookup: checkedLookup(resolve, allowPrivate),
    timeout: CONNECT_TIMEOUT_MS,
    allowH2: false,
  });
  return new Agent({
    connect(options, callback) {
      try {
        checkHost(options.hostname, allowPrivate);
      } catch (refusal) {
        return callback(refusal as Error, null);
      }
      connect(options, (error, socket) => {
        if (!socket) return callback(error!, null);
        keepAnswers(socket);
        callback(null, socket);
      });
    },
    maxHeaderSize: MAX_HEADERS,
  });
}

export function checkedLookup(resolve: Resolve, allowPrivate: boolean): LookupFunction {
  return (hostname, { all }, callback) => {
    resolve(hostname)
      .then((resolved) => reachable(hostname, resolved, allowPrivate))
      .then(
        (allowed) =>
          all ? callback(null, [...allowed]) : callback(null, allowed[0]!.address, allowed[0]!.family),
        (error) => callback(error, all ? [] : ""),
      );
  };
}
