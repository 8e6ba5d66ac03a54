// The three AWS clients from one frozen config: endpoint, timeouts, keep-alive, few retries. What is said with them
// belongs to queue/, storage/ and deliver/; backing off over minutes belongs to the loops that call those.
import { S3Client } from "@aws-sdk/client-s3";
import { SNSClient } from "@aws-sdk/client-sns";
import { SQSClient } from "@aws-sdk/client-sqs";
import { NodeHttpHandler, type NodeHttpHandlerOptions } from "@smithy/node-http-handler";

export type AwsConfig = {
  /** Anything that is not AWS itself: the embedded one, LocalStack, moto, MinIO. Absent means AWS. */
  endpoint?: string | undefined;
  region?: string | undefined;
  /** Absent means the SDK's own chain: environment, profile, SSO, instance role. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined;
};

export type AwsTimeouts = {
  connectionTimeout: number;
  /** Until the answer's head arrives; longer than the longest long poll, which is 20 s. */
  requestTimeout: number;
  /** Silence on a socket in the middle of an object. */
  socketTimeout: number;
};

export type AwsClients = { sqs: SQSClient; s3: S3Client; sns: SNSClient; destroy(): void };

const TIMEOUTS: AwsTimeouts = { connectionTimeout: 5_000, requestTimeout: 28_000, socketTimeout: 28_000 };
/** Buckets and topics have no long polls: what is silent for so long is away, and a job's slot waits for it. */
const BRIEF_MS = 10_000;

export function makeAwsClients(config: AwsConfig, timeouts: AwsTimeouts = TIMEOUTS): AwsClients {
  const brief = { ...timeouts, requestTimeout: Math.min(timeouts.requestTimeout, BRIEF_MS) };
  const shared = (limits: AwsTimeouts) => ({
    ...(config.region !== undefined && { region: config.region }),
    ...(config.endpoint !== undefined && { endpoint: config.endpoint }),
    // A copy, because the SDK writes a note into it and the config is frozen.
    ...(config.credentials !== undefined && { credentials: { ...config.credentials } }),
    // One retry mends a keep-alive socket that the other side had closed; more would hide an outage for minutes.
    maxAttempts: 2,
    requestHandler: new NodeHttpHandler(handlerOptions(limits)),
  });
  const custom = config.endpoint !== undefined;
  const sqs = new SQSClient({
    ...shared(timeouts),
    // Emulators put a host into queue URLs that does not resolve; AWS's own URLs are right.
    ...(custom && { useQueueUrlAsEndpoint: false }),
  });
  const s3 = new S3Client({
    ...shared(brief),
    forcePathStyle: custom,
    // Checksums beyond TLS break stores that only resemble S3, and wrap bodies in a stream that outlives its reader.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
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

// Without throwOnRequestTimeout the SDK only logs a timeout, and a black-holed socket hangs its caller for good.
function handlerOptions(timeouts: AwsTimeouts): NodeHttpHandlerOptions {
  return {
    ...timeouts,
    throwOnRequestTimeout: true,
    httpAgent: { keepAlive: true, maxSockets: 64 },
    httpsAgent: { keepAlive: true, maxSockets: 64 },
  };
}
