// The one place where sockets to the outside are opened. A name is resolved once and only addresses that passed the
// rules are handed to the socket: a name that answers differently the next time (DNS rebinding) gains nothing.
import { lookup as systemLookup } from "node:dns/promises";
import type { LookupFunction } from "node:net";
import { Agent, buildConnector } from "../http/undici.ts";
import { checkHost, type Resolved, reachable } from "./refusals.ts";

/** All addresses of a name, as the system resolves it. */
export type Resolve = (hostname: string) => Promise<readonly Resolved[]>;

export const systemResolve: Resolve = (hostname) => systemLookup(hostname, { all: true });

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Connections for one rule. Those that may reach the home network and those that may not are kept in two agents: an open
 * connection is used again by origin alone, and must not carry a request that the rule would have refused.
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
      connect(options, callback);
    },
  });
}

function checkedLookup(resolve: Resolve, allowPrivate: boolean): LookupFunction {
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
