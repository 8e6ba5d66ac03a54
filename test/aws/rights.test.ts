// Which right is missing, from the words of AWS. Those below are as AWS sends them today, as it did before, and as an emulator does.
import { expect, test } from "vitest";
import { deniedRight, objectArnOf, queueArnOf, verdictOf } from "../../worker/aws/rights.ts";
import { KamadoError } from "../../worker/errors.ts";

const QUEUE = "arn:aws:sqs:eu-central-1:123456789012:kamado-jobs";
const ASKED = { action: "sqs:DeleteMessage", resource: QUEUE };
const USER = "User: arn:aws:iam::123456789012:user/kamado-worker is not authorized to perform";

const sdkError = (name: string, message: string, status = 403) =>
  Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } });

test.each([
  [
    "SQS",
    "AccessDenied",
    `${USER}: sqs:deletemessage on resource: ${QUEUE} because no identity-based policy allows the sqs:deletemessage action`,
    ASKED,
  ],
  [
    "SQS with an explicit deny",
    "AccessDenied",
    `${USER}: sqs:deletemessage on resource: ${QUEUE} with an explicit deny in a resource-based policy`,
    ASKED,
  ],
  [
    "SQS as it was",
    "AccessDenied",
    "Access to the resource https://sqs.eu-central-1.amazonaws.com/ is denied.",
    ASKED,
  ],
  [
    "SQS of a queue with a key of one's own",
    "KMS.AccessDeniedException",
    `${USER}: kms:Decrypt on resource: arn:aws:kms:eu-central-1:123456789012:key/1 because no identity-based policy allows the kms:Decrypt action`,
    { action: "kms:Decrypt", resource: "arn:aws:kms:eu-central-1:123456789012:key/1" },
  ],
  [
    "SQS of such a queue, which does not name the key",
    "KmsAccessDenied",
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
    { action: "kms:Decrypt", resource: `the key of ${QUEUE}` },
  ],
  [
    "S3",
    "AccessDenied",
    `${USER}: s3:PutObject on resource: "arn:aws:s3:::kamado/results/.probe" because no identity-based policy allows the s3:PutObject action`,
    { action: "s3:PutObject", resource: "arn:aws:s3:::kamado/results/.probe" },
  ],
  ["S3 as it was", "AccessDenied", "Access Denied", ASKED],
  [
    "SNS",
    "AuthorizationErrorException",
    `${USER}: SNS:Publish on resource: arn:aws:sns:eu-central-1:123456789012:results because no identity-based policy allows the SNS:Publish action`,
    { action: "SNS:Publish", resource: "arn:aws:sns:eu-central-1:123456789012:results" },
  ],
  [
    "an emulator that names the call",
    "AccessDeniedException",
    `${USER}: sqs:DeleteMessageBatch on resource: ${QUEUE}`,
    ASKED,
  ],
])("the right that %s refuses is named as a policy grants it", (_, name, message, right) => {
  expect(deniedRight(sdkError(name, message), ASKED)).toEqual(right);
  // An adapter has wrapped it.
  const wrapped = new KamadoError("queue_unavailable", "…", { cause: sdkError(name, message) });
  expect(deniedRight(wrapped, ASKED)).toEqual(right);
});

test.each([
  "InvalidClientTokenId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "RequestTimeTooSkewed",
  "InvalidAccessKeyId",
])("%s is a 403 and no missing right", async (name) => {
  expect(deniedRight(sdkError(name, "no"), ASKED)).toBeNull();
  expect(await verdictOf(ASKED, () => Promise.reject(sdkError(name, "no")))).toMatchObject({ is: "unknown" });
});

test.each([
  ["AWS.SimpleQueueService.EmptyBatchRequest", 400, "granted"],
  ["InvalidParameterValue", 400, "granted"],
  ["QueueDoesNotExist", 400, "missing"],
  ["NotFoundException", 404, "missing"],
  ["UnknownOperationException", 400, "unknown"],
  ["InternalErrorException", 500, "unknown"],
  ["ThrottlingException", 400, "unknown"],
])("a call that is refused with %s (%i) says: %s", async (name, status, is) => {
  expect((await verdictOf(ASKED, () => Promise.reject(sdkError(name, "no", status)))).is).toBe(is);
});

test("the ARN of a queue follows from its URL, in every partition and at an emulator", () => {
  expect(queueArnOf("https://sqs.eu-central-1.amazonaws.com/123456789012/kamado-jobs", "us-east-1")).toBe(
    QUEUE,
  );
  expect(queueArnOf("https://eu-central-1.queue.amazonaws.com/123456789012/kamado-jobs")).toBe(QUEUE);
  expect(queueArnOf("https://sqs.cn-north-1.amazonaws.com.cn/1/q.fifo")).toBe(
    "arn:aws-cn:sqs:cn-north-1:1:q.fifo",
  );
  expect(queueArnOf("https://sqs.us-gov-west-1.amazonaws.com/1/q")).toBe(
    "arn:aws-us-gov:sqs:us-gov-west-1:1:q",
  );
  expect(queueArnOf("http://127.0.0.1:4566/000000000000/kamado-jobs", "eu-west-1")).toBe(
    "arn:aws:sqs:eu-west-1:000000000000:kamado-jobs",
  );
  expect(queueArnOf("no address")).toBe("no address");
  expect(objectArnOf("kamado", "in/*", "cn-north-1")).toBe("arn:aws-cn:s3:::kamado/in/*");
});
