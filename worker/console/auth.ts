// Who may look at the worker's pages: whoever is on this machine and asks it by its own name, or whoever has the token.
import type { Context } from "hono";
import type { Secret } from "../config/secret.ts";
import { isOwnName, sameSecret } from "../http/auth.ts";

export function isAllowed(context: Context, token: Secret | undefined): boolean {
  if (token === undefined) return isOwnName(context.req.header("host"));
  return sameSecret(tokenOf(context.req.header("authorization")), token.reveal());
}

/** Scripts send a bearer token; a browser asks for name and password, of which the password counts. */
function tokenOf(authorization = ""): string {
  const [, scheme, value = ""] = /^(Bearer|Basic) +(.+)$/i.exec(authorization) ?? [];
  if (scheme === undefined || /^bearer$/i.test(scheme)) return value;
  return Buffer.from(value, "base64")
    .toString()
    .replace(/^[^:]*:/, "");
}

export function refuse(context: Context, token: Secret | undefined): Response {
  if (token === undefined) return context.text("This worker is not served under that host name.\n", 403);
  const headers = { "www-authenticate": 'Basic realm="Kamado", charset="UTF-8"' };
  return context.text("The token is missing or wrong.\n", 401, headers);
}
