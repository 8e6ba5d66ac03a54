// Whether AWS lets these credentials do something, from how it answers a call that changes nothing, and which right exactly is missing, as
// AWS words it. Making such calls is left to checks/.
import { healthOf, namesOf, statusOf } from "./errors.ts";

/** As a policy names it: `sqs:DeleteMessage` on `arn:aws:sqs:eu-central-1:123456789012:kamado-jobs`. */
export type Right = { action: string; resource: string };

export type Verdict =
  | { is: "granted" }
  | { is: "denied"; right: Right }
  /** There is no such queue, topic or bucket. */
  | { is: "missing" }
  /** It did not come to the question: no answer, another key, a server that does not know the call. */
  | { is: "unknown"; error: unknown };

const DENIED = /AccessDenied|AuthorizationError|NotAuthorized|^(403|Forbidden)$/;
/** A 403 too, but about the key or the clock. */
const OF_THE_KEY =
  /ClientTokenId|UnrecognizedClient|AccessKeyId|Signature|Expired|InvalidToken|TokenRefresh|TimeTooSkewed|AuthFailure|OptInRequired|AuthorizationHeader|AuthenticationToken/;
const MISSING = /QueueDoesNotExist|NonExistentQueue|^NotFound(Exception)?$|NoSuchBucket/;
/** A server of another kind that does not do what was asked. */
const UNKNOWN_CALL = /Unknown|InvalidAction|NotImplemented|UnsupportedOperation|InternalError/;

/** What is missing when AWS refuses a call. Null when the error says something else. `asked` counts where AWS does not name it. */
export function deniedRight(error: unknown, asked: Right): Right | null {
  const names = namesOf(error);
  if (names.some((name) => OF_THE_KEY.test(name)) || !names.some((name) => DENIED.test(name))) return null;
  const { action, resource } =
    namedRight(error) ?? (names.some((name) => /^kms/i.test(name)) ? ofKey(asked) : asked);
  // SQS writes `sqs:deletemessage`. An emulator names the call, but IAM has no right for a batch.
  const own = action.replace(/Batch$/i, "");
  return { action: own.toLowerCase() === asked.action.toLowerCase() ? asked.action : own, resource };
}

/** SQS does not always say which key it is. */
const ofKey = ({ action, resource }: Right): Right => ({
  action: /Send/.test(action) ? "kms:GenerateDataKey" : "kms:Decrypt",
  resource: `the key of ${resource}`,
});

// `User: arn:… is not authorized to perform: sqs:receivemessage on resource: arn:… because no identity-based policy allows …`
const WORDS = /not authorized to perform: ?([\w-]+:\w+)(?: on resource: ?"?(arn:[^\s"]+)"?)?/i;

/** Null where AWS does not name it, as S3 often does not. */
export function namedRight(error: unknown): Right | null {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    const [, action, resource] = WORDS.exec(one.message) ?? [];
    if (action !== undefined && resource !== undefined) return { action, resource };
  }
  return null;
}

/** From a call that AWS refuses for another reason when it is allowed: a batch of nothing, a handle that no message has. */
export async function verdictOf(right: Right, call: () => Promise<unknown>): Promise<Verdict> {
  try {
    await call();
    return { is: "granted" };
  } catch (error) {
    const denied = deniedRight(error, right);
    if (denied) return { is: "denied", right: denied };
    const names = namesOf(error);
    if (names.some((name) => MISSING.test(name))) return { is: "missing" };
    const isRefused = statusOf(error) === 400 && healthOf(error) === "unknown";
    const isKnown = !names.some((name) => UNKNOWN_CALL.test(name));
    return isRefused && isKnown ? { is: "granted" } : { is: "unknown", error };
  }
}

export const grant = ({ action, resource }: Right): string => grantAll([{ action, resource }]);

/** One sentence for each resource. */
export function grantAll(rights: readonly Right[]): string {
  const byResource = Map.groupBy(rights, ({ resource }) => resource);
  const sentences = [...byResource].map(
    ([resource, own]) => `Grant ${own.map(({ action }) => action).join(", ")} on ${resource}.`,
  );
  return sentences.join(" ");
}

/** The ARN of a queue from its URL. Emulators have one of the same form. */
export function queueArnOf(url: string, region = "us-east-1"): string {
  if (!URL.canParse(url)) return url;
  const { pathname } = new URL(url);
  const [account = "", name = ""] = pathname.split("/").slice(-2);
  const own = queueRegion(url) ?? region;
  return `arn:${partitionOf(own)}:sqs:${own}:${account}:${name}`;
}

/** The region that a queue's address names; requests to it must be signed for that one, wherever the sender runs. */
export function queueRegion(queueUrl: string): string | undefined {
  const { hostname } = new URL(queueUrl);
  if (!/\.(amazonaws\.com(\.cn)?|api\.aws)$/.test(hostname)) return undefined;
  if (hostname === "queue.amazonaws.com") return "us-east-1";
  return /(?:^|\.)([a-z]{2,}(?:-[a-z]+)+-\d+)\./.exec(hostname)?.[1];
}

export const objectArnOf = (bucket: string, key: string, region = "us-east-1") =>
  `arn:${partitionOf(region)}:s3:::${bucket}${key === "" ? "" : `/${key}`}`;

const partitionOf = (region: string) =>
  region.startsWith("cn-") ? "aws-cn" : region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
