// What went wrong with a queue or a bucket, in the words of a sender: which right is missing, and which option to look at. The worker's
// hints name its own variables, and rights that a sender need not have.
import { type AwsFailure, KamadoError, toKamadoError } from "../worker/errors.ts";

/** A right of IAM that a call needs, such as `sqs:SendMessage on the queue`. */
export type Right = string;

const POLICY = "the policy EnqueuerPolicyArn of the stack has it";

const HINTS: Partial<Record<AwsFailure, (right: Right) => string>> = {
  no_credentials: () =>
    "Run it with a role or with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give `credentials`. For the queue of `npm start` both keys are `test`.",
  credentials: (right) =>
    `Check as whom it is sent (aws sts get-caller-identity), that they have ${right} (${POLICY}), the region, and this machine's clock.`,
  missing_queue: () =>
    "Check the queue's address (queueUrl, KAMADO_QUEUE_URL), its region and account, or create the queue.",
  network: () =>
    "Check the network and the endpoint (AWS_ENDPOINT_URL). A Lambda inside a VPC reaches SQS and S3 only by a NAT gateway or VPC endpoints.",
  throttled: () => "AWS limits the number of calls; send it again later, and several jobs with enqueueMany.",
};
const MISSING_BUCKET =
  "Check the bucket's name (bucket, KAMADO_BUCKET) and its region, or create the bucket.";

/** The same error with what a sender can do about it. */
export function asSender(thrown: unknown, right: Right): KamadoError {
  const error = toKamadoError(thrown, "queue_unavailable");
  const wrong = wrongSetting(error);
  if (wrong) return wrong;
  const { code, message, cause, detail } = error;
  if (code === "object_forbidden")
    return new KamadoError(code, message.replace("the worker may not", "this sender may not"), {
      cause,
      detail,
      hint: `Grant the sender ${right}; ${POLICY}.`,
    });
  const hint = /no such bucket\.$/.test(message)
    ? MISSING_BUCKET
    : HINTS[detail?.awsFailure ?? "unknown"]?.(right);
  return hint === undefined ? error : new KamadoError(code, message, { cause, detail, hint });
}

/** What no waiting changes: the sender's own settings are wrong. Null for every other error. */
export function wrongSetting(error: KamadoError): KamadoError | null {
  const { cause } = error;
  if (cause instanceof KamadoError) return wrongSetting(cause);
  const { message = "", name = "" } = (cause ?? {}) as Partial<Error>;
  if (/Region is missing/.test(message))
    return new KamadoError("config_invalid", "There is no AWS region.", {
      cause,
      hint: "Set AWS_REGION, or give createClient the region of the queue.",
    });
  if (name === "PermanentRedirect" || /must be addressed using the specified endpoint/.test(message))
    return new KamadoError(
      "config_invalid",
      `${error.message.split(":", 2).join(":")}: it is in another region.`,
      {
        cause,
        hint: "Set AWS_REGION, or give createClient the region of the bucket.",
      },
    );
  return null;
}
