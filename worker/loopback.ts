// What is this machine alone, as an address to listen on and as a name it is asked by. Pure.
import { isIP } from "node:net";

/** Whether nobody outside this machine can reach what listens there. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

// A page elsewhere could reach a server without a token under a name of its own that resolves to this machine.
const OWN_NAMES = /^(localhost|127\.0\.0\.1|\[::1\]|host\.(containers|docker)\.internal)(:\d+)?$/i;

/** Whether a request's Host header names this machine. */
export const isOwnName = (header: string | undefined): boolean => OWN_NAMES.test(header ?? "");
