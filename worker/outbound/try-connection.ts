// Whether a receiver can be reached at all: a connection under the rules that every request to it passes, with TLS where the address asks
// for it, and nothing sent over it. Whether it takes a delivery only a delivery shows.
import { KamadoError } from "../errors.ts";
import { buildConnector } from "../http/undici.ts";
import { checkUrl, parseUrl } from "./addresses.ts";
import { CONNECT_TIMEOUT_MS, checkedLookup, type Resolve, systemResolve } from "./connect.ts";
import { fetchFailure } from "./outbound.ts";

export type TryOptions = { allowPrivate: boolean; resolve?: Resolve };

/** Null when it takes a connection. Never rejects. */
export async function tryConnection(
  address: string,
  { allowPrivate, resolve = systemResolve }: TryOptions,
): Promise<KamadoError | null> {
  const url = parseUrl(address);
  const { hostname, host, port, protocol } = url;
  try {
    checkUrl(url, { known: true, allowPrivate });
    const connect = buildConnector({
      lookup: checkedLookup(resolve, allowPrivate),
      timeout: CONNECT_TIMEOUT_MS,
      allowH2: false,
    });
    const { promise, resolve: done, reject } = Promise.withResolvers<void>();
    const own = hostname.replace(/^\[|\]$/g, "");
    connect({ hostname: own, host, port, protocol } as never, (error, socket) => {
      socket?.destroy();
      if (error) reject(error);
      else done();
    });
    await promise;
    return null;
  } catch (thrown) {
    return thrown instanceof KamadoError ? thrown : fetchFailure(thrown, hostname, false);
  }
}
