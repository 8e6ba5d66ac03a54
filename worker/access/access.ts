// Who may ask the worker's address, and for what. Somebody on this machine needs nothing, unless a token is set; everybody else shows the
// token, the token that only reads, the cookie of a session, or an assertion of Cloudflare Access. How a refusal looks, and the page to sign
// in, are the server's.
import type { Clock } from "../async/clock.ts";
import type { Secret } from "../config/secret.ts";
import { KamadoError } from "../errors.ts";
import { sameSecret } from "../http/auth.ts";
import { type Asking, addressOf, isCrossSite, isLocal, isSafe } from "./asking.ts";
import { Attempts } from "./attempts.ts";
import type { VerifyAssertion } from "./cloudflare.ts";
import { Sessions, type Tokens } from "./sessions.ts";

/** Somebody who was let in. `name`: the user of Cloudflare Access. */
export type Visitor = { by: "local" | "token" | "session" | "access"; mayChange: boolean; name?: string };

declare module "hono" {
  /** Whom a part of the worker answers: `context.get("visitor")`. The server has put him there. */
  interface ContextVariableMap {
    visitor: Visitor;
  }
}

export type AccessOptions = Tokens & {
  verifyAssertion?: VerifyAssertion | undefined;
  /** Only this machine can reach the server. */
  isOnLoopback: boolean;
  sessionsFile?: string | undefined;
  clock: Clock;
};

export type Access = {
  /** Throws `unauthorized`, `not_local`, `cross_site`, `too_many_attempts`. */
  visitorOf(asking: Asking, session: string | undefined): Promise<Visitor>;
  /** The cookie's value for whoever gives a right token. Throws `unauthorized`, `too_many_attempts`. */
  signIn(asking: Asking, token: string): { session: string; mayChange: boolean };
  signOut(session: string): void;
  /** Whether there is a token to sign in with. */
  hasSignIn: boolean;
};

/** Wrong ones, of people who type. */
const SIGN_INS = { perAddress: 10, overall: 100, windowMs: 300_000 };
/** Of programs, which repeat them. There is no limit for all addresses, so that a flood from many never keeps out who has the token. */
const CALLS = { perAddress: 100, overall: Number.POSITIVE_INFINITY, windowMs: 60_000 };

const ASSERTION = "cf-access-jwt-assertion";

export function createAccess(options: AccessOptions): Access {
  const { token, readToken, verifyAssertion, isOnLoopback, clock } = options;
  const sessions = new Sessions({ token, readToken, file: options.sessionsFile, wall: () => clock.wall() });
  const [signIns, calls] = [new Attempts(SIGN_INS, clock), new Attempts(CALLS, clock)];
  const hasSignIn = token !== undefined || readToken !== undefined;

  /** Both are compared whatever the first comparison says. */
  function matching(given: string): { secret: Secret; mayChange: boolean } | undefined {
    const [isFull, isRead] = [token, readToken].map((one) => one && sameSecret(given, one.reveal()));
    if (isFull) return { secret: token!, mayChange: true };
    return isRead ? { secret: readToken!, mayChange: false } : undefined;
  }

  function byToken(asking: Asking): Visitor | undefined {
    const { scheme, given } = credentialsIn(asking.headers.get("authorization") ?? "");
    if (given === "" || !hasSignIn) return undefined;
    // What runs on this machine can ask as often as it likes anyway, and shares an address with all else that runs here.
    const isCounted = !isLocal(asking, isOnLoopback);
    const address = addressOf(asking);
    if (isCounted) throwIfTooMany(calls, address);
    const found = matching(given);
    if (!found && isCounted) calls.failed(address);
    // A browser repeats a password for pages of other sites too.
    if (found && scheme === "basic" && isCrossSite(asking)) throw crossSite();
    return found && { by: "token", mayChange: found.mayChange };
  }

  async function byAssertion({ headers }: Asking): Promise<Visitor | KamadoError | undefined> {
    const assertion = headers.get(ASSERTION);
    if (!verifyAssertion || assertion === null) return undefined;
    return verifyAssertion(assertion).then(
      (found): Visitor => ({ by: "access", ...found }),
      (error: KamadoError) => error,
    );
  }

  /** A configured token is demanded on this machine too. One that only reads is none for this. */
  function byPlace(asking: Asking): Visitor | undefined {
    const isOpen = token === undefined && isLocal(asking, isOnLoopback);
    return isOpen ? { by: "local", mayChange: true } : undefined;
  }

  function bySession(value: string | undefined): Visitor | undefined {
    const found = value === undefined ? undefined : sessions.find(value);
    return found && { by: "session", ...found };
  }

  function refusal(): KamadoError {
    if (hasSignIn) return new KamadoError("unauthorized", "The token is missing or wrong.");
    if (verifyAssertion) return new KamadoError("unauthorized", NO_ASSERTION);
    return new KamadoError("not_local", NOT_LOCAL);
  }

  return {
    hasSignIn,
    async visitorOf(asking, session) {
      const caller = byToken(asking);
      if (caller) return caller;
      const asserted = await byAssertion(asking);
      const isKnown = asserted !== undefined && !(asserted instanceof KamadoError);
      const visitor = isKnown ? asserted : (bySession(session) ?? byPlace(asking));
      if (!visitor) throw asserted ?? refusal();
      if (isCrossSite(asking)) throw crossSite();
      return visitor;
    },
    signIn(asking, given) {
      if (isCrossSite(asking)) throw crossSite();
      const address = addressOf(asking);
      throwIfTooMany(signIns, address);
      const found = matching(given);
      if (found) return { session: sessions.begin(found.secret), mayChange: found.mayChange };
      signIns.failed(address);
      throw new KamadoError("unauthorized", "The token is wrong.");
    },
    signOut: (session) => sessions.end(session),
  };
}

/** Throws `read_only` where this visitor may only read. */
export function checkRight(visitor: Visitor, method: string): void {
  if (!visitor.mayChange && !isSafe(method)) throw readOnly(`${method} changes something`);
}

export const readOnly = (what: string): KamadoError =>
  new KamadoError("read_only", `${what}, and who asked may only read.`);

function throwIfTooMany(attempts: Attempts, address: string): void {
  const retryAfterMs = attempts.waitMs(address);
  if (retryAfterMs > 0)
    throw new KamadoError("too_many_attempts", "Too many wrong tokens.", { detail: { retryAfterMs } });
}

const crossSite = () => new KamadoError("cross_site", "A page of another site asked for this.");

const NOT_LOCAL =
  "Without a token, only programs on this machine are served, under its own name (localhost) and not through a proxy.";
const NO_ASSERTION = "The request did not come through Cloudflare Access, nor from this machine itself.";

/** Scripts send a bearer token; of name and password the password counts. */
function credentialsIn(authorization: string): { scheme: string; given: string } {
  const [, name = "", value = ""] = /^(Bearer|Basic) +(.+)$/i.exec(authorization) ?? [];
  const scheme = name.toLowerCase();
  if (scheme !== "basic") return { scheme, given: value };
  const text = Buffer.from(value, "base64").toString();
  return { scheme, given: text.replace(/^[^:]*:/, "") };
}
