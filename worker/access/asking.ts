// Where a request comes from, read from its headers and its socket: from this machine itself or from elsewhere, from a page of our own or
// of another site, over TLS or not. Who asks, and what he may do, is access.ts's. Pure.
import { isOwnName } from "../http/auth.ts";
import { isLoopback } from "../http/loopback.ts";

/** What is known of a request before anything is let in. */
export type Asking = {
  method: string;
  headers: Headers;
  /** The address at the other end of the socket; undefined where there is no socket. */
  peer: string | undefined;
};

/** What proxies and tunnels add. cloudflared and `tailscale serve` run on this machine, so that all they bring comes from loopback. */
const FORWARDED =
  /^(forwarded|via|cdn-loop|true-client-ip|(x-(forwarded|real|client|original|cluster|envoy|amzn|azure|appengine)|cf|tailscale|ngrok|fly|fastly)-.*)$/;

/**
 * Whether it comes from this machine and was meant for it: no proxy brought it, and it names this machine, which a page that resolved a
 * name of its own to this machine does not (DNS rebinding). `isOnLoopback`: nobody else can reach the server.
 */
export function isLocal({ headers, peer }: Asking, isOnLoopback: boolean): boolean {
  const isNear = isOnLoopback || (peer !== undefined && isLoopback(plain(peer)));
  if (!isNear || !isOwnName(headers.get("host") ?? "")) return false;
  const origin = headers.get("origin");
  if (origin !== null && !isOwnName(URL.parse(origin)?.host)) return false;
  return ![...headers.keys()].some((name) => FORWARDED.test(name));
}

/** An IPv4 address as a socket of IPv6 shows it. */
const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/i, "");

/**
 * Whether a page of another site made the browser ask. Its user may follow a link here; nothing else of such a page is answered. What is
 * no browser sends none of these headers. `Sec-Fetch-Site` comes only over TLS and on loopback, `Origin` with every change.
 */
export function isCrossSite({ method, headers }: Asking): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null) return site !== "same-origin" && site !== "none" && !isLink(method, headers);
  const origin = headers.get("origin");
  if (origin === null) return false;
  const from = URL.parse(origin);
  const own = from && URL.parse(`${from.protocol}//${headers.get("host")}`);
  return !own || own.host !== from.host;
}

const isLink = (method: string, headers: Headers) =>
  isSafe(method) &&
  headers.get("sec-fetch-mode") === "navigate" &&
  headers.get("sec-fetch-dest") === "document";

/** Whether a method only reads. */
export const isSafe = (method: string): boolean => method === "GET" || method === "HEAD";

/** Whether a browser shows the answer as a page; a script wants an error that it can read. */
export const wantsPage = ({ headers }: Asking): boolean =>
  /\btext\/html\b/i.test(headers.get("accept") ?? "") && !headers.has("hx-request");

/** Whether the visitor's side of the connection is TLS, which ends at a proxy. It only decides about the visitor's own cookie. */
export function isOverTls({ headers }: Asking): boolean {
  const told = [headers.get("x-forwarded-proto"), headers.get("origin"), headers.get("cf-visitor")];
  const forwarded = /\bproto="?https\b/i.test(headers.get("forwarded") ?? "");
  return forwarded || told.some((text) => /^\s*(\{"scheme":")?https\b/i.test(text ?? ""));
}

/**
 * Whom a limit of attempts counts. A proxy on this machine says for whom it asks; from elsewhere such a header may be made up, so there
 * only the socket counts. Of IPv6 a household has 2^64 addresses, which are one here.
 */
export function addressOf({ headers, peer }: Asking): string {
  const socket = plain(peer ?? "");
  const named = headers.get("cf-connecting-ip") ?? headers.get("x-forwarded-for")?.split(",").at(-1);
  const address = isLoopback(socket) && named ? plain(named.trim()) : socket;
  return (address.includes(":") ? network(address) : address).slice(0, LONGEST_ADDRESS);
}

/** Characters. */
const LONGEST_ADDRESS = 64;

/** The first 64 bits. */
function network(address: string): string {
  const [head = "", tail = ""] = address.toLowerCase().split("::");
  const before = head.split(":").filter(Boolean);
  const after = tail.split(":").filter(Boolean);
  const zeros = address.includes("::") ? Math.max(0, 8 - before.length - after.length) : 0;
  return [...before, ...Array<string>(zeros).fill("0"), ...after].slice(0, 4).join(":");
}
