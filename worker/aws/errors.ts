// What an error of the AWS SDK means: which health state it points to. Pure; the adapters turn it into a KamadoError.
import type { AwsFailure } from "../errors.ts";

export const NO_CREDENTIALS_HINT =
  "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE. For a `kamado serve` on this machine set both keys to `test`.";
/** Only the embedded AWS says this. */
export const DISK_FULL_HINT =
  "Free some space on the disk of KAMADO_DATA_DIR, where the embedded queue is; the worker goes on by itself.";

export const NOT_AWS_HINT =
  "Another program may have that port, or a proxy answers in place of AWS: check AWS_ENDPOINT_URL and the address.";

/** The fields of an SDK error that say what went wrong. Emulators and SDK versions fill different ones. */
type SdkError = {
  name?: string;
  code?: unknown;
  Code?: unknown;
  $metadata?: { httpStatusCode?: number };
  $retryable?: { throttling?: boolean };
  errors?: unknown;
  message?: string;
};

const CREDENTIALS =
  /AccessDenied|Forbidden|Unauthorized|InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId|SignatureDoesNotMatch|AuthorizationHeaderMalformed|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|ExpiredToken|InvalidToken|TokenRefreshRequired|AuthFailure|OptInRequired|NotAuthorized|CredentialsProvider|TokenProvider|KMS\.AccessDenied/i;
/** The SDK found none anywhere. Those that it found and could not use, such as an expired session, have other words. */
const NO_CREDENTIALS = /Could not load credentials|Credential is missing/i;
const THROTTLED = /Throttl|RequestLimit|TooManyRequests|SlowDown|^OverLimit$/i;
const NETWORK =
  /^(ECONN\w+|ENOTFOUND|EAI_\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL|ERR_TLS\w*|ERR_SSL\w*|CERT_\w+|DEPTH_ZERO_\w+|SELF_SIGNED_\w+|UNABLE_TO_\w+|TimeoutError|NetworkingError|RequestTimeout)$/i;

/** All names of an error: its own, its code, and those of the errors it wraps. */
export function namesOf(error: unknown): string[] {
  if (typeof error !== "object" || error === null) return [];
  const { name, code, Code, errors } = error as SdkError;
  const cause = (error as { cause?: unknown }).cause;
  const own = [name, code, Code].filter((one): one is string => typeof one === "string");
  // A host with several addresses fails with an AggregateError of one error for each address.
  const inner = Array.isArray(errors) ? errors.flatMap((one) => namesOf(one)) : [];
  return [...own, ...inner, ...(cause === undefined || cause === error ? [] : namesOf(cause))];
}

export const statusOf = (error: unknown): number | undefined =>
  typeof error === "object" && error !== null ? (error as SdkError).$metadata?.httpStatusCode : undefined;

/** What AWS says. After a wrong signature it repeats the request, with the token of the session. */
export function saidBy(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\s*The Canonical String for this request[\s\S]*/, "");
}

/** Whether the request itself was refused, or could not even be written: the same request will never succeed. */
export function isRefusedRequest(error: unknown): boolean {
  if (error instanceof URIError) return true;
  const status = statusOf(error) ?? 0;
  return status >= 400 && status < 500 && healthOf(error) === "unknown";
}

/** An answer in no form of AWS, such as the page of a web server or of a proxy. */
const isForeign = (error: unknown) => /Deserialization error/.test((error as Error | null)?.message ?? "");

/** The health state an error points to; `unknown` when nothing in it is known here. */
export function healthOf(error: unknown): AwsFailure {
  const names = namesOf(error);
  const any = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (any(/^(DiskFull|ENOSPC|EDQUOT)$/)) return "disk_full";
  if (any(/CredentialsProvider/) && NO_CREDENTIALS.test((error as SdkError).message ?? ""))
    return "no_credentials";
  if (any(/QueueDoesNotExist|NonExistentQueue|QueueDeletedRecently/)) return "missing_queue";
  if (any(THROTTLED) || (error as SdkError | null)?.$retryable?.throttling) return "throttled";
  if (any(CREDENTIALS)) return "credentials";
  if (any(NETWORK)) return "network";
  if (isForeign(error)) return "not_aws";
  const status = statusOf(error);
  if (status === 401 || status === 403) return "credentials";
  if (status === 429) return "throttled";
  return (error as Error | null)?.message === "socket hang up" ? "network" : "unknown";
}
