// The AWS SDK's clients: endpoint, timeouts, keep-alive, few retries. The calls are in queue/, storage/ and deliver/; their
// callers decide how long to back off.
import { S3Client } from "@aws-sdk/client-s3";
import { SNSClient } from "@aws-sdk/client-sns";
import { SQSClient } from "@aws-sdk/client-sqs";
import { NodeHttpHandler, type NodeHttpHandlerOptions } from "@smithy/node-http-handler";
import { type AwsConfig, placeOptions, s3Options, sqsOptions } from "./client-options.ts";

export type { AwsConfig } from "./client-options.ts";

export type AwsTimeouts = {
  connectionTimeout: number;
  /** Until the answer's headers arrive. Above the longest long poll, which is 20 s. */
  requestTimeout: number;
  /** The longest silence on a socket in the middle of an object. */
  socketTimeout: number;
};

export type AwsClients = { sqs: SQSClient; s3: S3Client; sns: SNSClient; destroy(): void };

const TIMEOUTS: AwsTimeouts = { connectionTimeout: 5_000, requestTimeout: 28_000, socketTimeout: 28_000 };
/** Buckets and topics have no long polls, and a job's slot waits for their answer. */
const BRIEF_MS = 10_000;

export function makeAwsClients(config: AwsConfig, timeouts: AwsTimeouts = TIMEOUTS): AwsClients {
  const brief = { ...timeouts, requestTimeout: Math.min(timeouts.requestTimeout, BRIEF_MS) };
  const shared = (limits: AwsTimeouts) => clientOptions(config, limits);
  const custom = config.endpoint !== undefined;
  const sqs = new SQSClient({
    ...shared(timeouts),
    ...sqsOptions(custom),
  });
  const s3 = new S3Client({ ...shared(brief), ...s3Options(custom) });
  const sns = new SNSClient(shared(brief));
  return {
    sqs,
    s3,
    sns,
    destroy() {
      for (const client of [sqs, s3, sns]) client.destroy();
    },
  };
}

/** What every client of the SDK is made with. */
export const clientOptions = (config: AwsConfig, limits: AwsTimeouts = TIMEOUTS) => ({
  ...placeOptions(config),
  // One retry helps when the server has closed a keep-alive socket. More would hide an outage for minutes.
  maxAttempts: 2,
  requestHandler: new NodeHttpHandler(handlerOptions(limits)),
});

// Without throwOnRequestTimeout the SDK only logs a timeout, and a call whose answer never comes would never end.
function handlerOptions(timeouts: AwsTimeouts): NodeHttpHandlerOptions {
  return {
    ...timeouts,
    throwOnRequestTimeout: true,
    httpAgent: { keepAlive: true, maxSockets: 64 },
    httpsAgent: { keepAlive: true, maxSockets: 64 },
  };
}
