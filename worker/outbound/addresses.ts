// Which addresses may be reached: the rules for a URL and for the network addresses behind its name. Pure. Names are judged
// when they are resolved (connect.ts), so that the address that was judged is the one that is connected to.
//
// The tables follow IANA's "special-purpose addresses" for IPv4 and IPv6, plus the addresses at which cloud providers
// serve their metadata.
import { BlockList, isIP } from "node:net";
import { KamadoError } from "../errors.ts";

/** Throws `unsupported_address` unless the address is an http(s) URL. */
export function parseUrl(url: string | URL): URL {
  const parsed = URL.canParse(String(url)) ? new URL(url) : null;
  if (parsed && /^https?:$/.test(parsed.protocol)) return parsed;
  throw new KamadoError("unsupported_address", "The address is not an https:// URL.");
}

/** Throws `address_refused` unless `url` may be requested. `known`: the destinations file lists it. */
export function checkUrl(url: URL, { known, allowPrivate }: { known: boolean; allowPrivate: boolean }): void {
  if (url.username !== "" || url.password !== "")
    throw refused(
      url.hostname,
      "an address must not hold credentials; put them into the destination's headers",
    );
  if (url.protocol !== "https:" && !known)
    throw refused(url.hostname, "plain http is only allowed for addresses in the destinations file");
  checkHost(url.hostname, allowPrivate);
}

/** Throws `address_refused` when `hostname` is a network address that must not be reached. A name passes. */
export function checkHost(hostname: string, allowPrivate: boolean): void {
  const literal = hostname.replace(/^\[|\]$/g, "");
  if (isIP(literal) === 0) return;
  const ruling = ruleOn(literal);
  if (!isReachable(ruling, allowPrivate)) throw refused(hostname, `it is a ${ruling} address`);
}

export type Resolved = { address: string; family: number };

/** Those of a name's addresses that may be reached. Throws `address_refused` when there are none. */
export function reachable(
  hostname: string,
  resolved: readonly Resolved[],
  allowPrivate: boolean,
): Resolved[] {
  const allowed = resolved.filter(({ address }) => isReachable(ruleOn(address), allowPrivate));
  if (allowed.length > 0) return allowed;
  const rulings: Ruling[] = resolved.map(({ address }) => ruleOn(address));
  throw refused(hostname, `the name resolves to a ${rulings[0] ?? "missing"} address`);
}

function refused(hostname: string, rule: string): KamadoError {
  return new KamadoError("address_refused", `${hostname}: ${rule}.`, { detail: { host: hostname, rule } });
}

export type Ruling =
  | "public"
  /** In the home network or on this machine: only for destinations with `allowPrivate`. */
  | "private"
  // The rest must never be reached.
  | "link-local"
  | "metadata"
  | "reserved";

type Family = "ipv4" | "ipv6";

// Tailscale uses 100.64/10 as well; some proxies on a Mac answer every name with 198.18/15.
const PRIVATE = list(
  ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "198.18.0.0/15"],
  ["::1/128", "fc00::/7"],
);
const LINK_LOCAL = list(["169.254.0.0/16"], ["fe80::/10"]);
// Metadata services outside the link-local range: Alibaba, Oracle, Azure, and AWS over IPv6.
const METADATA = list(
  ["100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"],
  ["fd00:ec2::/32", "fd20:ce::254/128"],
);
const RESERVED = list(
  [
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
  ],
  // Teredo and other protocol assignments, documentation, 6to4, more documentation.
  ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"],
);
const UNICAST_V6 = list([], ["2000::/3"]);
const MAPPED = list([], ["::ffff:0:0/96"]);
const NAT64 = list([], ["64:ff9b::/96"]);

/** The ruling on a network address. Anything else is `reserved`. */
export function ruleOn(address: string): Ruling {
  const plain = address.replace(/%.*$/, "");
  const version = isIP(plain);
  if (version === 4) return ruleOnV4(plain);
  return version === 6 ? ruleOnV6(plain) : "reserved";
}

/** Whether the host is on this machine or in the home network, as its name or address says. */
export function isAtHome({ hostname }: URL): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) > 0) return ruleOn(host) === "private";
  return !host.includes(".") || /\.(localhost|local|lan|home|internal|home\.arpa)$/.test(host);
}

/** Whether an address may be reached. `allowPrivate` opens the home network, never link-local or metadata addresses. */
export function isReachable(ruling: Ruling, allowPrivate: boolean): boolean {
  return ruling === "public" || (ruling === "private" && allowPrivate);
}

const ruleOnV4 = (address: string): Ruling => named(address, "ipv4") ?? "public";

function ruleOnV6(address: string): Ruling {
  if (MAPPED.check(address, "ipv6")) return ruleOnV4(embeddedV4(address));
  // A network without IPv4 reaches public IPv4 addresses through this prefix; a private one behind it is an attack.
  if (NAT64.check(address, "ipv6")) return ruleOnV4(embeddedV4(address)) === "public" ? "public" : "reserved";
  return named(address, "ipv6") ?? (UNICAST_V6.check(address, "ipv6") ? "public" : "reserved");
}

function named(address: string, family: Family): Ruling | null {
  if (METADATA.check(address, family)) return "metadata";
  if (LINK_LOCAL.check(address, family)) return "link-local";
  if (PRIVATE.check(address, family)) return "private";
  return RESERVED.check(address, family) ? "reserved" : null;
}

/** The IPv4 address in the last 32 bits of an IPv6 address. The URL parser always writes those bits as two groups. */
function embeddedV4(address: string): string {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const groups = canonical.replace(/^.*::/, "0:0:").split(":").slice(-2);
  return groups
    .flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255])
    .join(".");
}

function list(v4: readonly string[], v6: readonly string[]): BlockList {
  const blocks = new BlockList();
  const add = (family: Family) => (subnet: string) => {
    const [network, prefix] = subnet.split("/");
    blocks.addSubnet(network!, Number(prefix), family);
  };
  v4.forEach(add("ipv4"));
  v6.forEach(add("ipv6"));
  return blocks;
}
