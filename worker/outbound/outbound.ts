// The safe HTTP client: every request to an address that somebody else chose goes through here. It decides which addresses may
// be reached, how long a request may take, how much may come back and where a redirect may lead. What an answer means is up to
// its callers.
import { unlessAborted } from "../async/abort.ts";
import { KamadoError } from "../errors.ts";
import { decodeText } from "../http/text-encoding.ts";
import { parseJson } from "../job/json.ts";
import { excessOf } from "../job/structure.ts";
import { checkUrl, parseUrl } from "./addresses.ts";
import { type Answer, readAnswer, redirectOf, throwForStatus, unpackAnswer } from "./answer.ts";
import { createAgent, type Resolve, systemResolve } from "./connect.ts";
import { type Destinations, destinationFor, type KnownDestination } from "./destinations.ts";
import { answerDespite, whatIsWrongWith } from "./raw-answer.ts";

export type Send = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "PROPFIND" | "REPORT";
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** A longer answer is `input_too_large`. [10 MiB] */
  maxBytes?: number;
  /** For the whole exchange, from the first connection to the last byte, redirects included. [30 s] */
  timeoutMs?: number;
  /** Follow up to three redirects of a GET. Otherwise a redirect is an answer like any other. [false] */
  followRedirects?: boolean;
  /**
   * The address whose redirects led here, for a caller that follows them itself. Unless the destinations file lists that one, its
   * entries do not count here either.
   */
  ledBy?: string | undefined;
  /**
   * `start`: only the status matters. It counts although the rest of the answer is not HTTP. The body is what arrives soon, up to
   * `maxBytes`, and never an error. `cut`: of a longer body the first `maxBytes`. [whole]
   */
  answer?: "whole" | "start" | "cut";
  signal?: AbortSignal;
};

export type Get = Pick<Send, "headers" | "maxBytes" | "timeoutMs" | "signal">;

export interface Outbound {
  /**
   * Sends a request and resolves with the answer, whatever its status. Throws `unsupported_address`, `address_refused`,
   * `fetch_failed` (network, time), `fetch_rejected` (too many redirects) and `input_too_large`. When `signal` fires, it
   * throws the signal's reason.
   */
  send(request: Send): Promise<Answer>;
  /** GET with redirects followed. Also throws `fetch_rejected` for 3xx and 4xx, and `fetch_failed` for 408, 425, 429 and 5xx. */
  getBytes(
    url: string,
    options?: Get,
  ): Promise<{ bytes: Uint8Array; contentType: string | null; url: string }>;
  /** The same for JSON. An answer that is not JSON is `fetch_rejected`. */
  getJson(url: string, options?: Get): Promise<unknown>;
  /** Lets the requests under way finish. May be called twice. */
  close(): Promise<void>;
}

export type OutboundOptions = { destinations?: Destinations; resolve?: Resolve; now?: () => number };

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 10 * 1024 * 1024;
const MAX_REDIRECTS = 3;

export function createOutbound(options: OutboundOptions = {}): Outbound {
  const { destinations = [], resolve = systemResolve, now = Date.now } = options;
  const agents = { public: createAgent(resolve, false), private: createAgent(resolve, true) };
  const underway = new Set<Promise<unknown>>();
  let closed: Promise<unknown> | undefined;

  async function send(request: Send): Promise<Answer> {
    if (closed) throw new KamadoError("fetch_failed", "The worker is stopping; it sends nothing any more.");
    const answering = sendWithin(request);
    underway.add(answering);
    return answering.finally(() => underway.delete(answering));
  }

  async function sendWithin(request: Send): Promise<Answer> {
    const deadline = AbortSignal.timeout(request.timeoutMs ?? TIMEOUT_MS);
    const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline;
    const url = parseUrl(request.url);
    try {
      return await follow(request, url, signal);
    } catch (thrown) {
      request.signal?.throwIfAborted();
      throw fetchFailure(thrown, url.hostname, deadline.aborted);
    }
  }

  /** Each redirect is checked like a new address, and gets only what is meant for its origin. */
  async function follow(request: Send, first: URL, signal: AbortSignal): Promise<Answer> {
    const redirects = request.followRedirects && request.method === "GET" ? MAX_REDIRECTS : 0;
    const origin = request.ledBy === undefined ? first : new URL(request.ledBy);
    const isFirstKnown = destinationFor(destinations, origin) !== undefined;
    for (let url = first, left = redirects; ; left--) {
      // The caller's headers are meant for the origin that it named.
      const isElsewhere = url.origin !== first.origin;
      // An unknown server must not redirect us into the home network, nor to a destination with the owner's credentials.
      const known =
        url.origin !== origin.origin && !isFirstKnown ? undefined : destinationFor(destinations, url);
      const answer = await sendOnce(isElsewhere ? { ...request, headers: {} } : request, url, known, signal);
      const next = redirects > 0 ? redirectOf(answer) : null;
      if (!next) return answer;
      if (left === 0)
        throw new KamadoError("fetch_rejected", `${first.hostname}: more than ${MAX_REDIRECTS} redirects.`);
      url = parseUrl(next);
    }
  }

  /** One request to one address; `known` is what the destinations file says about it. */
  async function sendOnce(
    request: Send,
    url: URL,
    known: KnownDestination | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const allowPrivate = known?.allowPrivate ?? false;
    checkUrl(url, { known: known !== undefined, allowPrivate });
    const responding = (allowPrivate ? agents.private : agents.public).request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method,
      headers: headersFor(request.headers ?? {}, known),
      body: request.body ?? null,
      signal,
    });
    // undici looks at the signal only once it is connected.
    const { maxBytes = MAX_BYTES, answer: part = "whole" } = request;
    try {
      const read = await readAnswer(await unlessAborted(responding, signal), url, { maxBytes, part });
      return withoutSecrets(read, known);
    } catch (thrown) {
      const answer = part === "start" ? answerDespite(thrown, url) : null;
      if (answer === null) throw thrown;
      return { ...answer, bytes: answer.bytes.subarray(0, maxBytes) };
    }
  }

  async function getBytes(url: string, get: Get = {}) {
    const answer = await send({ ...get, method: "GET", url, followRedirects: true });
    throwForStatus(answer, now());
    const bytes = await unpackAnswer(
      answer.bytes,
      answer.headers["content-encoding"],
      get.maxBytes ?? MAX_BYTES,
    );
    return { bytes, contentType: answer.headers["content-type"] ?? null, url: answer.url };
  }

  async function getJson(url: string, get: Get = {}): Promise<unknown> {
    const headers = { accept: "application/json", ...get.headers };
    return jsonOf(await getBytes(url, { ...get, headers }));
  }

  async function close(): Promise<void> {
    // Destroys the agents instead of closing them: an idle connection must not hold up the stop.
    closed ??= Promise.allSettled(underway).then(() =>
      Promise.all([agents.public.destroy(), agents.private.destroy()]),
    );
    await closed;
  }

  return { send, getBytes, getJson, close };
}

function headersFor(
  given: Record<string, string>,
  known: KnownDestination | undefined,
): Record<string, string> {
  const own = Object.entries(known?.headers ?? {}).map(([name, value]) => [name, value.reveal()]);
  const lower = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]);
  return { "user-agent": "kamado", "accept-encoding": "identity", ...Object.fromEntries([...own, ...lower]) };
}

/** What a receiver says of a request that it refuses is logged and stored, and some say the token too. */
function withoutSecrets(answer: Answer, known: KnownDestination | undefined): Answer {
  if (known === undefined || answer.status < 300) return answer;
  const words = Object.values(known.headers).flatMap((header) => secretsIn(header.reveal()));
  const text = Buffer.from(answer.bytes).toString("latin1");
  const shown = words.reduce((rest, word) => rest.replaceAll(bytesOf(word), "[secret]"), text);
  return shown === text ? answer : { ...answer, bytes: Buffer.from(shown, "latin1") };
}

/** One character for each byte: an answer may be cut anywhere, and be in any character set. */
const bytesOf = (text: string) => Buffer.from(text).toString("latin1");
/** A shorter word may be any word. */
const LEAST_SECRET = 6;

/** Of `Bearer abc` what is behind the scheme, of `Basic …` the password as well. Longer ones first. */
function secretsIn(header: string): string[] {
  const [, scheme = "", word = header] = /^(\S+) +(\S+)$/.exec(header) ?? [];
  const pair = /^basic$/i.test(scheme) ? Buffer.from(word, "base64").toString() : "";
  return [word, pair, pair.slice(pair.indexOf(":") + 1)].filter(({ length }) => length >= LEAST_SECRET);
}

type Body = { bytes: Uint8Array; contentType: string | null; url: string };

function jsonOf({ bytes, contentType, url }: Body): unknown {
  const { hostname } = new URL(url);
  const text = decodeText(bytes, contentType);
  if (text === null)
    throw new KamadoError("fetch_rejected", `${hostname} answered in a character set that is not known.`);
  const excess = excessOf(text);
  if (excess !== null) throw new KamadoError("fetch_rejected", `The answer of ${hostname} ${excess}.`);
  try {
    return parseJson(text);
  } catch {
    throw new KamadoError("fetch_rejected", `${hostname} answered ${bytes.length} bytes that are not JSON.`);
  }
}

const NO_AUTHORITY =
  "no authority that is known has signed its certificate (NODE_EXTRA_CA_CERTS may name a file with one's own)";
const OLD_TLS = "it speaks no version of TLS that is safe";

const REASONS: Record<string, string> = {
  ENOTFOUND: "the name does not resolve",
  EAI_AGAIN: "the name does not resolve just now",
  ESERVFAIL: "the name does not resolve just now",
  ETIMEDOUT: "the connection took too long",
  EPIPE: "the connection was closed in the middle",
  ECONNABORTED: "the connection was closed in the middle",
  EADDRNOTAVAIL: "this machine has no address of that kind (IPv4 or IPv6)",
  EHOSTDOWN: "the host is down",
  ENETDOWN: "the network is down",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is the clock of this machine right?",
  CERT_REVOKED: "its certificate has been revoked",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  DEPTH_ZERO_SELF_SIGNED_CERT: NO_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: NO_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: NO_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NO_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NO_AUTHORITY,
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS: the address should perhaps begin with http://",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "it does not speak TLS: the address should perhaps begin with http://",
  ERR_SSL_UNSUPPORTED_PROTOCOL: OLD_TLS,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: OLD_TLS,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: "it refused the TLS connection",
  ERR_SSL_TLSV1_UNRECOGNIZED_NAME: "it knows no site of this name",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "it demands a certificate of its clients",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was reset",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
  UND_ERR_SOCKET: "the connection was closed in the middle",
  UND_ERR_CONNECT_TIMEOUT: "the connection took too long",
  UND_ERR_HEADERS_TIMEOUT: "the answer took too long",
  UND_ERR_BODY_TIMEOUT: "the answer took too long",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the answer was cut short",
};

/** A path cannot cause these. It can cause a connection that is closed, or an answer that does not come. */
const NO_CONNECTION: ReadonlySet<string> = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Our own errors as they are, everything else as `fetch_failed`. It names only the host: a webhook's path may hold a secret. */
export function fetchFailure(thrown: unknown, host: string, timedOut: boolean): KamadoError {
  const own = ownError(thrown);
  if (own) return own;
  const { code, name } = (thrown ?? {}) as { code?: unknown; name?: unknown };
  // A DOMException, as of a timeout, has a number that says nothing.
  const networkCode = String((typeof code === "string" ? code : name) ?? "unknown");
  const reason = whatIsWrongWith(thrown) ?? REASONS[networkCode] ?? `the request failed (${networkCode})`;
  return new KamadoError("fetch_failed", `${host}: ${timedOut ? "the answer took too long" : reason}.`, {
    cause: thrown,
    detail: { host, networkCode, ...(NO_CONNECTION.has(networkCode) && { isUnreachable: true }) },
  });
}

/** An address that is refused while connecting comes back wrapped in other errors. */
function ownError(thrown: unknown): KamadoError | null {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++)
    if (error instanceof KamadoError) return error;
  return null;
}
