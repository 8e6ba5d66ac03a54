// Errors as AWS answers them, in each service's own words, so that the SDK takes them for what they are. Pure.
import type { IncomingHttpHeaders } from "node:http";

export type Service = "sqs" | "s3" | "sns";
export type Kind = "internal" | "unavailable" | "throttled";
type ErrorAnswer = { status: number; headers: IncomingHttpHeaders; body: Buffer };

/** The SQS client speaks JSON under a target, the SNS client sends forms, and all else is S3. */
export function serviceOf(headers: IncomingHttpHeaders): Service {
  if (String(headers["x-amz-target"] ?? "").startsWith("AmazonSQS.")) return "sqs";
  return headers["content-type"]?.startsWith("application/x-www-form-urlencoded") ? "sns" : "s3";
}

const WORDS: Record<Service, Record<Kind, [status: number, code: string]>> = {
  sqs: {
    internal: [500, "InternalFailure"],
    unavailable: [503, "ServiceUnavailable"],
    throttled: [400, "RequestThrottled"],
  },
  s3: {
    internal: [500, "InternalError"],
    unavailable: [503, "ServiceUnavailable"],
    throttled: [503, "SlowDown"],
  },
  sns: {
    internal: [500, "InternalError"],
    unavailable: [503, "ServiceUnavailable"],
    throttled: [400, "Throttling"],
  },
};

export function errorAnswer(service: Service, kind: Kind): ErrorAnswer {
  const [status, code] = WORDS[service][kind];
  const message = "The storm says so.";
  if (service === "sqs")
    return answer(
      status,
      "application/x-amz-json-1.0",
      JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message }),
    );
  const error = `<Error><Type>Receiver</Type><Code>${code}</Code><Message>${message}</Message></Error>`;
  return answer(
    status,
    "application/xml",
    service === "s3" ? error : `<ErrorResponse>${error}<RequestId>storm</RequestId></ErrorResponse>`,
  );
}

const answer = (status: number, type: string, body: string): ErrorAnswer => ({
  status,
  headers: { "content-type": type },
  body: Buffer.from(body),
});
