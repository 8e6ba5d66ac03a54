// Entries of a destinations file, for tests that need no file.

import { secret } from "../../worker/config/secret.ts";
import type { KnownDestination } from "../../worker/outbound/destinations.ts";

export function known(
  match: string,
  {
    secrets = [],
    headers = {},
    ...rest
  }: Partial<Omit<KnownDestination, "secrets" | "headers">> & {
    secrets?: string[];
    headers?: Record<string, string>;
  } = {},
): KnownDestination {
  return {
    match: new URL(match).href,
    secrets: secrets.map(secret),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, secret(value)])),
    allowPrivate: true,
    maxPerSecond: undefined,
    maxConcurrent: undefined,
    ...rest,
  };
}
