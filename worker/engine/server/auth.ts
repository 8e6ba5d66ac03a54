// Who and what comes in: token, host, size and type of a request, before anything looks at its fields.
import type { Context } from "hono";
import { KamadoError } from "../../errors.ts";
import { isOwnName, sameSecret } from "../../http/auth.ts";
import { invalid } from "../generation/backend.ts";

export const MAX_BODY_BYTES = 48 * 1024 * 1024;

export function authorized(c: Context, token: string | undefined): boolean {
  if (token === undefined) return isOwnName(c.req.header("host"));
  const given = /^Bearer (.+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  return sameSecret(given, token);
}

export function demandAuthorized(c: Context, token: string | undefined): void {
  if (authorized(c, token)) return;
  const why =
    token === undefined
      ? "This engine is not served under that host name."
      : "The token is missing or wrong.";
  throw new KamadoError("unauthorized", why);
}

export async function bodyOf(c: Context): Promise<unknown> {
  // A page elsewhere can send text/plain without asking first; JSON it cannot.
  if (!/^application\/json\b/i.test(c.req.header("content-type") ?? ""))
    throw invalid(null, "Send the body with content-type: application/json.");
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KamadoError("malformed_json", "The body is not JSON.", { cause });
  }
}

export function tooLarge(): never {
  throw new KamadoError("body_too_large", `The body may have at most ${MAX_BODY_BYTES} bytes.`);
}
