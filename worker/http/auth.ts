// Whether a request may be answered: it brings the secret, or it asks this machine by its own name. Pure.
import { createHash, timingSafeEqual } from "node:crypto";
import { isThisMachine } from "./loopback.ts";

/** Compares in constant time, whatever the lengths. */
export function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/**
 * Whether a request's Host header names this machine. A web page elsewhere could reach a server without a token under a
 * name of its own that resolves to this machine (DNS rebinding).
 */
export function isOwnName(header = ""): boolean {
  const [, v6, name = v6] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d+)?$/.exec(header.toLowerCase()) ?? [];
  return name !== undefined && isThisMachine(name);
}
