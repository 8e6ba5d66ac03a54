// The rules for an address before anything is sent to it: its scheme, its form, and the network address it stands on.
// Names are judged where they are resolved (connect.ts), so that what was judged is what is connected to.
import { isIP } from "node:net";
import { KamadoError } from "../errors.ts";
import { isReachable, type Ruling, ruleOn } from "./addresses.ts";

/** Reads an address that came from outside. Throws `unsupported_address` when it is no http(s) URL. */
export function parseUrl(url: string | URL): URL {
  const parsed = URL.canParse(String(url)) ? new URL(url) : null;
  if (parsed && /^https?:$/.test(parsed.protocol)) return parsed;
  throw new KamadoError("unsupported_address", "The address is no https:// URL.");
}

/** Throws `address_refused` unless `url` may be asked for. `known` says that the destinations file lists it. */
export function checkUrl(url: URL, { known, allowPrivate }: { known: boolean; allowPrivate: boolean }): void {
  if (url.username !== "" || url.password !== "")
    throw refused(
      url.hostname,
      "credentials in the address are not accepted; put them into the destination's headers",
    );
  if (url.protocol !== "https:" && !known)
    throw refused(url.hostname, "plain http is only for addresses the destinations file lists");
  checkHost(url.hostname, allowPrivate);
}

/** Throws `address_refused` when `hostname` is a literal address that may not be connected to. */
export function checkHost(hostname: string, allowPrivate: boolean): void {
  const literal = hostname.replace(/^\[|\]$/g, "");
  if (isIP(literal) === 0) return;
  const ruling = ruleOn(literal);
  if (!isReachable(ruling, allowPrivate)) throw refused(hostname, `it is a ${ruling} address`);
}

export type Resolved = { address: string; family: number };

/** The addresses of a name that may be connected to. Throws `address_refused` when there are none. */
export function reachable(
  hostname: string,
  resolved: readonly Resolved[],
  allowPrivate: boolean,
): Resolved[] {
  const allowed = resolved.filter(({ address }) => isReachable(ruleOn(address), allowPrivate));
  if (allowed.length > 0) return allowed;
  const rulings: Ruling[] = resolved.map(({ address }) => ruleOn(address));
  throw refused(hostname, `the name stands for a ${rulings[0] ?? "missing"} address`);
}

function refused(hostname: string, rule: string): KamadoError {
  return new KamadoError("address_refused", `${hostname}: ${rule}.`, { detail: { host: hostname, rule } });
}
