// Cloudflare Access: whether a request's assertion (`Cf-Access-Jwt-Assertion`) was made by Cloudflare for one of our applications, and for
// whom. Owns the team's keys: they change every few weeks, and they go on being used while their address does not answer. An unknown key
// makes us look for new ones, but never more often than every half minute, whatever comes in.
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import type { JWTPayload, JWTVerifyGetKey } from "jose";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";

export type CloudflareOptions = {
  /** `https://TEAM.cloudflareaccess.com` */
  team: string;
  /** The audience tags of applications whose users may do everything, and of those whose users may only read. */
  audiences: readonly string[];
  readAudiences: readonly string[];
  /** [below the team's address] */
  keysUrl?: string;
};

/** `name`: the user's address, or the name of a service token. */
export type Assertion = { name: string; mayChange: boolean };

/** Throws `unauthorized`, which says why. */
export type VerifyAssertion = (assertion: string) => Promise<Assertion>;

/** Clocks differ. Seconds. */
const TOLERANCE = 30;

export function createVerify(
  { team, audiences, readAudiences, keysUrl = `${team}/cdn-cgi/access/certs` }: CloudflareOptions,
  clock: Pick<Clock, "now">,
): VerifyAssertion {
  const keys = new TeamKeys(keysUrl, clock);
  return async (assertion) => {
    // Loaded when the first one comes.
    const { jwtVerify } = await import("jose");
    try {
      const { payload } = await jwtVerify(assertion, keys.find, {
        issuer: team,
        audience: [...audiences, ...readAudiences],
        algorithms: ["RS256"],
        requiredClaims: ["exp", "iat"],
        clockTolerance: TOLERANCE,
      });
      const mayChange = [payload.aud ?? []].flat().some((one) => audiences.includes(one));
      return { name: nameIn(payload), mayChange };
    } catch (thrown) {
      throw refusalOf(thrown);
    }
  };
}

function nameIn({ email, common_name: service, sub = "" }: JWTPayload): string {
  const name = [email, service, sub].find((one) => typeof one === "string" && one !== "");
  return name === undefined ? "somebody" : String(name);
}

function refusalOf(thrown: unknown): KamadoError {
  if (thrown instanceof KamadoError) return thrown;
  const { code = "", message } = thrown as { code?: string; message: string };
  const why = code === "ERR_JWT_EXPIRED" ? "it has expired" : message;
  return new KamadoError("unauthorized", `Cloudflare Access's assertion is not valid: ${why}.`, {
    cause: thrown,
    hint: "Sign in again. If that does not help, compare KAMADO_ACCESS_TEAM and KAMADO_ACCESS_AUDIENCE with the application, and the clock.",
  });
}

/** Cloudflare changes keys every six weeks. */
const FRESH_MS = 3_600_000;
/** As long as Cloudflare itself accepts an old key. */
const LONGEST_MS = 7 * 24 * FRESH_MS;
/** Between two requests for the keys, however they end. */
const PAUSE_MS = 30_000;

class TeamKeys {
  readonly #url: string;
  readonly #clock: Pick<Clock, "now">;
  #keys: JWTVerifyGetKey | undefined;
  #kids = new Set<string | undefined>();
  #fetchedAt = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;

  constructor(url: string, clock: Pick<Clock, "now">) {
    this.#url = url;
    this.#clock = clock;
  }

  find: JWTVerifyGetKey = async (header, token) => {
    const { kid } = header;
    if (kid === undefined) throw new Error("it names no key");
    if (!this.#isUsable() || !this.#kids.has(kid)) await this.#refresh();
    // Nobody waits for that.
    else if (this.#age() > FRESH_MS) void this.#refresh();
    if (!this.#keys || !this.#isUsable())
      throw new KamadoError("unauthorized", "The keys of Cloudflare Access cannot be fetched.", {
        hint: `Check that this machine reaches ${new URL(this.#url).host}, and that KAMADO_ACCESS_TEAM is right.`,
      });
    return this.#keys(header, token);
  };

  #age = () => this.#clock.now() - this.#fetchedAt;
  #isUsable = () => this.#keys !== undefined && this.#age() < LONGEST_MS;

  /** Never rejects. All who need it wait for the same one. */
  #refresh(): Promise<void> {
    if (this.#fetching || this.#clock.now() - this.#triedAt < PAUSE_MS)
      return this.#fetching ?? Promise.resolve();
    this.#triedAt = this.#clock.now();
    this.#fetching = this.#fetch()
      .catch(() => {})
      .finally(() => {
        this.#fetching = undefined;
      });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { createLocalJWKSet } = await import("jose");
    const { keys } = JSON.parse(await textAt(this.#url));
    this.#keys = createLocalJWKSet({ keys });
    this.#kids = new Set(keys.map(({ kid }: { kid?: string }) => kid));
    this.#fetchedAt = this.#clock.now();
  }
}

const ANSWER_MS = 5_000;
const MAX_BYTES = 256 * 1024;

/** The owner has named the address, so it needs no check of where it leads; but it answers soon, whole and with 200, or not at all. */
async function textAt(url: string): Promise<string> {
  const get = url.startsWith("https:") ? getHttps : getHttp;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = get(url, { signal: AbortSignal.timeout(ANSWER_MS) }, async (answer) => {
    try {
      if (answer.statusCode !== 200) throw new Error(`it answered ${answer.statusCode}`);
      const tooLarge = () => new Error("its answer is too long");
      resolve((await readWhole(answer, { maxBytes: MAX_BYTES, tooLarge })).toString());
    } catch (thrown) {
      reject(thrown);
      request.destroy();
    }
  });
  request.on("error", reject);
  return promise;
}
