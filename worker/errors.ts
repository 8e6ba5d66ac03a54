// Every error that Kamado reports: its code, its HTTP status, whether trying again can help, and what to do about it. The
// message is written where the error is thrown: it names the field and describes the value, and never shows a secret.
import type { z } from "zod";
import { printable } from "./printable.ts";

/** What an error code means. `retry`: the same job may succeed later although nobody changes it. */
type Meaning = { status: number; retry: boolean; hint: string };

const fail = (status: number, hint: string): Meaning => ({ status, retry: false, hint });
const later = (status: number, hint: string): Meaning => ({ status, retry: true, hint });

export const ERRORS = {
  // the message
  malformed_json: fail(400, "Send one JSON object as the message body."),
  invalid_envelope: fail(400, "Compare the job with the fields listed in the README under 'The job'."),
  message_rejected: fail(400, "The queue does not take what is in the message; the error says why."),
  body_too_large: fail(413, "Upload the input to the bucket and send its s3:// address."),
  pointer_unreadable: fail(400, "Check that the worker may read the bucket that the pointer names."),
  no_rule_for_object: fail(400, "Add a rule for this prefix to the file that KAMADO_RULES_FILE names."),
  unknown_kind: fail(
    404,
    "Use one of the kinds listed in the message, or add a handler for this kind (KAMADO_HANDLERS names its folder). " +
      "`kamado dead redrive` then sends its jobs back.",
  ),
  invalid_input: fail(400, "Correct what the message names and try again."),
  budget_exceeded: fail(
    413,
    "Ask for less in one job or event, or let the owner raise the variable that the message names.",
  ),
  duplicate_id: fail(409, "Choose another id: a job with another input has this one."),
  // inputs
  object_not_found: fail(404, "Upload the object before you send the job, or correct its address."),
  object_forbidden: fail(
    403,
    "Upload it below a prefix that jobs may read; the owner adds one as bucket/prefix to KAMADO_BUCKETS and grants the worker s3:GetObject there.",
  ),
  object_unreadable: fail(
    422,
    "The store refuses to read this object and says why in the message; upload it again, or correct its address.",
  ),
  input_too_large: fail(413, "Make the input smaller; the message names the limit."),
  image_undecodable: fail(415, "Send a JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIC picture."),
  image_too_large: fail(413, "Send a smaller or simpler picture; the message names the limit."),
  page_without_text: fail(
    422,
    "The page may need a browser to run its scripts; send the text that the browser shows, or a page that holds its text itself.",
  ),
  robots_refused: fail(
    403,
    "The site's robots.txt asks programs to leave this page alone. Read it in a browser and send its text, or ask the site's owner.",
  ),
  page_blocked: fail(
    422,
    "Open the page in a browser; the message says what stands in its way. Then send the HTML or the text that the browser shows.",
  ),
  document_unreadable: fail(
    422,
    "Open the document to see whether it is damaged or asks for a password; send a PDF without one, or its text.",
  ),
  search_not_set_up: fail(
    400,
    "Let the owner set KAMADO_SEARCH (docs/research.md), or give the addresses to read as `urls`.",
  ),
  search_failed: later(
    502,
    "Check that the search service can be reached and has quota left; Kamado tries again by itself.",
  ),
  search_rejected: fail(
    502,
    "The message says what the search service refuses; correct its key or its settings.",
  ),
  unsupported_address: fail(400, "Use s3://bucket/key, https://… or a data: URI."),
  address_refused: fail(
    403,
    "If you trust the address, list it in the file that KAMADO_DESTINATIONS_FILE names; for your home network, with allowPrivate.",
  ),
  fetch_failed: later(502, "Check that the address can be reached; Kamado tries again by itself."),
  fetch_rejected: fail(502, "Open the address in a browser to see why it refuses the request."),
  storage_unavailable: later(503, "Check the network, the credentials and the bucket."),
  // the model
  engine_unavailable: later(503, "Check that the engine is running; Kamado tries the job again by itself."),
  engine_died: later(
    503,
    "The engine crashed during this job. Kamado tries the job again, then alone; if it crashes again, the job goes to the dead-letter queue.",
  ),
  engine_busy: later(429, "The engine's queue is full; Kamado tries the job again by itself."),
  engine_rejected: fail(400, "The engine refused the request; the message says why."),
  context_length_exceeded: fail(400, "Send less text, or run the model with a larger context."),
  answer_invalid: fail(422, "Simplify the schema, raise the token limit, or use a larger model."),
  answer_repetitive: fail(
    422,
    "The model only repeated itself; reword the prompt or use a larger model. If the answer is meant to repeat itself, the owner can set KAMADO_REPETITION_STOP=off.",
  ),
  unauthorized: fail(401, "Send the token in the header `Authorization: Bearer …`."),
  not_local: fail(
    403,
    "On this machine open it as http://localhost:…; from elsewhere set KAMADO_WEB_TOKEN or Cloudflare Access (docs/outside.md).",
  ),
  read_only: fail(
    403,
    "Use KAMADO_WEB_TOKEN, or sign in with it; KAMADO_WEB_READ_TOKEN lets nobody change anything.",
  ),
  cross_site: fail(
    403,
    "Open the console itself and try it there. A program sends the token in the header `Authorization: Bearer …`.",
  ),
  too_many_attempts: later(429, "Wait as long as Retry-After says, then use the right token."),
  model_not_loaded: fail(404, "Ask for a model that the engine serves; GET /v1/models lists them."),
  // the handler
  handler_broken: fail(
    500,
    "Correct the handler's file, restart the worker, and run `kamado dead redrive` for the jobs that met it.",
  ),
  handler_failed: later(500, "The handler threw an unexpected error; the stack in the log says where."),
  output_invalid: fail(500, "Correct the handler: its output does not fit its own schema."),
  // the job's life
  timed_out: fail(504, "Raise policy.timeoutSeconds, or put less work into one job."),
  expired: fail(410, "The job was not started before policy.expiresAt; send it again if you still need it."),
  canceled: fail(410, "Somebody canceled the job; send it again under another id if you still need it."),
  attempts_exhausted: fail(500, "Every attempt failed; the message has the last error."),
  lease_lost: later(409, "Another worker has the job now; there is nothing to do."),
  stopping: later(503, "The worker is stopping; the job goes back to the queue."),
  result_not_ready: later(
    504,
    "The job stays in the queue and its result will be stored; wait again, and check that a worker runs.",
  ),
  schedule_not_found: fail(404, "`kamado schedules` lists those that there are."),
  // delivery
  delivery_failed: later(502, "Check the destination; Kamado tries the delivery again by itself."),
  delivery_rejected: fail(502, "The destination refused the result; check what it expects."),
  destination_off: fail(
    410,
    "Once the destination works, run `kamado dead redrive --destination …`; Kamado probes it too, less and less often.",
  ),
  signature_invalid: fail(
    401,
    "Verify the body as it came, byte for byte, with the secret that the destinations file has for this address, and set the clock.",
  ),
  no_request: fail(400, "This kind cannot be delivered with rest; use callback, sns or sqs."),
  // the jobs API
  job_not_found: fail(
    404,
    "The history has no job with this id; it may be older than KAMADO_HISTORY_DAYS, or never came.",
  ),
  dead_letter_not_found: fail(
    404,
    "Somebody may have sent it back or deleted it; GET /dead-letters lists what is there.",
  ),
  no_such_address: fail(404, "GET /openapi.json lists every address of the jobs API."),
  method_not_allowed: fail(405, "The header Allow says which methods this address has."),
  unsupported_media_type: fail(415, "Send JSON with the header `Content-Type: application/json`."),
  file_type_refused: fail(415, "Upload a JPEG, PNG, WebP, GIF or HEIC picture, a PDF, or text in UTF-8."),
  input_not_kept: fail(
    409,
    "Send the job again from where it came; the history keeps only inputs up to a limit.",
  ),
  server_busy: later(503, "Send it again in a moment, and fewer large files at the same time."),
  too_many_readers: later(429, "Close pages and programs that read /events, or ask again later."),
  history_unavailable: later(
    503,
    "Jobs go on without the history; the worker's log says what is wrong with it.",
  ),
  // the installation
  config_invalid: fail(500, "Correct the setting that the message names."),
  memory_insufficient: fail(507, "Use a smaller model or quantization, a smaller context, or fewer slots."),
  queue_unavailable: later(503, "Check the network, the credentials and the queue's URL."),
  permission_missing: fail(403, "Grant the rights that the message names to the user or role of the worker."),
  clock_wrong: later(
    503,
    "Set the clock: on a Mac `sudo sntp -sS time.apple.com`, on Linux `timedatectl set-ntp true`; a Podman machine is set right by `podman machine stop` and `start`.",
  ),
  stack_unavailable: later(
    503,
    "Check the network, and that you are signed in to the account of the stack with the right cloudformation:DescribeStacks.",
  ),
  tool_missing: fail(500, "Install the tools that the message names and run the command again."),
  service_failed: fail(
    500,
    "Read what the command says, correct it, and run the same command again; it continues where it was.",
  ),
  disk_full: later(507, "Free some disk space and run the command again."),
  unknown_model: fail(
    404,
    "`kamado model list` shows the catalogue; hf:owner/repo/file.gguf and an address of a GGUF file work too.",
  ),
  model_busy: later(503, "Wait until that command has ended, or stop it."),
  download_failed: later(502, "Check the network and run the command again; it continues where it stopped."),
  download_refused: fail(
    502,
    "Check the name or the address of the file; `kamado model list` shows models that work.",
  ),
  checksum_mismatch: fail(
    502,
    "The damaged file was removed; run the command again. If it happens again, the source or a proxy before it serves another file.",
  ),
  build_failed: fail(500, "Read the end of the log; a newer compiler or cmake often helps."),
} as const satisfies Record<string, Meaning>;

export type ErrorCode = keyof typeof ERRORS;

/** Why a call to a queue, a topic or the bucket failed. Each reason is put right in another place. */
export type AwsFailure =
  | "no_credentials"
  | "credentials"
  | "missing_queue"
  | "network"
  | "throttled"
  | "disk_full"
  /** What answers is another program, or something between us and AWS. */
  | "not_aws"
  | "unknown";

/** What code needs to know about an error besides its code. Every field may be absent. */
export type ErrorDetail = {
  /** How long the other side wants to be left alone, in milliseconds. Only the HTTP header counts in seconds. */
  retryAfterMs?: number | undefined;
  /** From then on the job may run, sent again under its id: it was refused for what others used. An ISO time. */
  retryAt?: string;
  /** The HTTP status that the other side answered. `KamadoError.status` is the one that Kamado answers. */
  httpStatus?: number | undefined;
  /** The delivery was held back: nothing was sent, so it does not count as a try. */
  heldBack?: true;
  /** False when the store refuses conditional writes. */
  supportsConditions?: boolean;
  awsFailure?: AwsFailure;
  /** What AWS does not let us do, as a policy would grant it. */
  missingRight?: { action: string; resource: string };
  /** The engine is on its way and nothing is wrong with it: it loads its model. */
  isLoading?: true;
  /** Whoever met it has logged it. */
  isLogged?: true;
  /** The bucket that could not be reached, where it may be another than the worker's own. */
  bucket?: string;
  /** No connection came about, so it is not about the address that was asked but about its host. */
  isUnreachable?: true;
  /** A REST service answered for one of its items, not for the address that the job names. */
  isOfItem?: true;
  /** The field of the request that is at fault; OpenAI clients show it. */
  param?: string | null | undefined;

  // The rest is evidence for people who debug; no code decides by it.
  /** The host that was asked. Never its whole address: paths and queries may hold secrets. */
  host?: string;
  /** The rule that refused an address. */
  rule?: string;
  /** What Node or undici calls a failure of the network, such as ECONNREFUSED. */
  networkCode?: string;
  /** The model's answer as it came, cut short. */
  modelAnswer?: string;
  /** The format that the first bytes of a file point to. */
  looksLike?: string;
  /** The start of what a receiver answered. */
  receiverSaid?: string;
};

/** `hint` where what to do is not what its code usually asks for. */
type ErrorOptions = { cause?: unknown; detail?: ErrorDetail | undefined; hint?: string };

/**
 * An error with a stable code. `cause` keeps the original error. The message may name what came from outside, so it is made safe to
 * show, and short enough for every place that shows, stores or sends it.
 */
export class KamadoError extends Error {
  override readonly name = "KamadoError";
  readonly code: ErrorCode;
  readonly detail: ErrorDetail | undefined;
  readonly #hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(
      printable(message, { lines: true }),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.detail = options.detail;
    this.#hint = options.hint;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
  get retry(): boolean {
    return ERRORS[this.code].retry;
  }
  get hint(): string {
    return this.#hint ?? ERRORS[this.code].hint;
  }
}

/** Any thrown value as a KamadoError; a value without a code gets `fallback`. */
export function toKamadoError(thrown: unknown, fallback: ErrorCode): KamadoError {
  if (thrown instanceof KamadoError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new KamadoError(fallback, message, { cause: thrown });
}

/** The name of the npm package for want of which a module could not be loaded. */
export function missingPackage(thrown: unknown): string | undefined {
  const { code, message = "" } = (thrown ?? {}) as NodeJS.ErrnoException;
  return code === "ERR_MODULE_NOT_FOUND" ? /^Cannot find package '([^']+)'/.exec(message)?.[1] : undefined;
}

/** Of a stack: the calls nearest to the error are its own code's. */
const STACK_LINES = 8;

/** Where a handler's code, or ours, went wrong: the error's name and message, and the calls that led to it. */
export function stackOf(error: unknown): string | undefined {
  if (!(error instanceof KamadoError)) return undefined;
  const { code, cause } = error;
  if (code !== "handler_failed" && code !== "handler_broken") return stackOf(cause);
  if (!(cause instanceof Error) || cause.stack === undefined) return undefined;
  const lines = cause.stack.split("\n");
  return printable(lines.slice(0, STACK_LINES).join("\n"), { lines: true });
}

/** A value as a message may describe it: its type and size, never its content. */
export function shapeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "string")
    return value === "" ? "an empty string" : `a string of ${value.length} characters`;
  if (typeof value === "object") return `an object with ${Object.keys(value).length} fields`;
  return value === undefined ? "nothing" : `a ${typeof value}`;
}

/** Of a field's path or of what is wrong with it; both may repeat what a sender wrote. Characters. */
const MAX_ISSUE = 300;

/** Each wrong field and what it holds: `policy.priority: expected int (got a string of 4 characters)`. */
export function describeIssues(error: z.ZodError, value: unknown): string {
  return error.issues
    .slice(0, 5)
    .map(({ code, path, message }) => {
      const field = path.length > 0 ? printable(path.join("."), { max: MAX_ISSUE }) : "the value";
      const what = `${field}: ${printable(message, { max: MAX_ISSUE })}`;
      // The field is named; what else is beside it does not matter.
      return code === "unrecognized_keys" ? what : `${what} (got ${shapeOf(valueAt(value, path))})`;
    })
    .join("; ");
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      // What a schema splits, such as a list with commas, is still whole here.
      typeof inner === "object" && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : inner,
    value,
  );
}
