// The two questions every HTTP server of ours asks before it answers: does the client know the token, and did it ask this
// machine by its own name. Each server itself decides how it refuses. Pure.
import { createHash, timingSafeEqual } from "node:crypto";
import { isThisMachine } from "./loopback.ts";

/** Whether two secrets are the same. Takes the same time whatever their contents and lengths are. */
export function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/**
 * Whether a request's Host header names this machine. A server without a token must check it: a web page can resolve a name
 * of its own to this machine and ask from the visitor's browser (DNS rebinding).
 */
export function isOwnName(header = ""): boolean {
  const [, v6, name = v6] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d+)?$/.exec(header.toLowerCase()) ?? [];
  return name !== undefined && isThisMachine(name);
}
