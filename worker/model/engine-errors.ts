// What went wrong at the engine, in our codes. Engines agree on the paths of their API but hardly on their errors, so
// the words decide where the status does not. Pure.
import { KamadoError } from "../errors.ts";
import { isThisMachine } from "../http/loopback.ts";
import { parseRetryAfter } from "../http/retry-after.ts";

type Headers = Record<string, string | string[] | undefined>;
type Told = { message: string; type: string };

const TOO_LONG =
  /context_length_exceeded|exceed_context_size|context (length|size|window)|maximum (model|context) length|longer than the maximum model/i;
const NO_MODEL =
  /model_not_found|model\b.*\b(not found|not exist|not loaded|not available)|no models? loaded/i;
const NO_PICTURES = /image input is not supported|mmproj|not (a )?multimodal|does not support images/i;

/** The error of an answer that is not 200. `hide` takes out of its words what nobody may read. */
export function refusal(
  status: number,
  headers: Headers,
  body: string,
  hide: (words: string) => string,
): KamadoError {
  const { message, type } = told(body);
  const words = `${type} ${shorten(message)}`;
  const said = `The engine answered ${status}: ${shorten(hide(message))}`;
  const detail = { httpStatus: status, retryAfterMs: retryAfterMs(headers) };
  if (status === 429) return new KamadoError("engine_busy", said, { detail });
  // Deterministic refusals come as 500 from some servers; trying those again would only repeat them.
  if (TOO_LONG.test(words)) return new KamadoError("context_length_exceeded", said, { detail });
  if (NO_PICTURES.test(words)) return new KamadoError("engine_rejected", said, { detail });
  if (type.includes("engine_died")) return new KamadoError("engine_died", said, { detail });
  if (status >= 500) return new KamadoError("engine_unavailable", said, { detail });
  if ((status === 404 || status === 400) && NO_MODEL.test(words))
    return new KamadoError("model_not_loaded", said, { detail });
  return new KamadoError("engine_rejected", said, { detail });
}

/**
 * A connection that was open and broke: whoever was to answer ended, and what was asked may be why. Over a network it says
 * nothing about either.
 */
const BROKEN = /^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/;

/** The error of a request that got no answer. */
export function unreachable(base: string, cause: unknown): KamadoError {
  const { code = "", message } = cause as { code?: string; message?: string };
  const { host, hostname } = new URL(base);
  if (BROKEN.test(code) && isThisMachine(hostname.replaceAll(/[[\]]/g, "")))
    return new KamadoError("engine_died", `The engine at ${host} ended before it had answered: ${code}.`, {
      cause,
    });
  const why =
    code === "UND_ERR_HEADERS_TIMEOUT" ? "it did not answer in time" : code || (message ?? "unknown");
  return new KamadoError("engine_unavailable", `The engine at ${host} cannot be reached: ${why}.`, { cause });
}

// OpenAI, llama-server and vLLM: {error: {message, type, code}}; Ollama: {error: "…"}; older vLLM: {message, type}.
function told(body: string): Told {
  const fields = parse(body);
  const error = fields.error ?? fields;
  if (typeof error === "string") return { message: error, type: "" };
  const { message, type, code } = error as Record<string, unknown>;
  return {
    message: typeof message === "string" ? message : body,
    type: [type, code].filter((one) => typeof one === "string").join(" "),
  };
}

function parse(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function shorten(words: string): string {
  const line = words.replaceAll(/\s+/g, " ").trim() || "nothing";
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

/** OpenAI's own header counts in milliseconds and is the more exact one. */
function retryAfterMs(headers: Headers): number | undefined {
  const milliseconds = Number.parseFloat(String(headers["retry-after-ms"]));
  return milliseconds >= 0 ? milliseconds : parseRetryAfter([headers["retry-after"]].flat()[0], Date.now());
}
