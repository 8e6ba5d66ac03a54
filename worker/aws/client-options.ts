// What every client of the SDK is told, the worker's own and those of `kamado/client`: where AWS is and as whom, and what SQS and S3 need.
// `isCustom`: an endpoint is configured, so that it may be an emulator. Pure.

export type AwsConfig = {
  /** Of the embedded AWS, LocalStack, moto, MinIO. Absent: AWS itself. */
  endpoint?: string | undefined;
  region?: string | undefined;
  /** Absent: the SDK's own chain of environment, profile, SSO and instance role. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined;
};

export const placeOptions = ({ region, endpoint, credentials }: AwsConfig) => ({
  ...(region !== undefined && { region }),
  ...(endpoint !== undefined && { endpoint }),
  // A copy, because the SDK adds a field to it and a configuration is frozen.
  ...(credentials !== undefined && { credentials: { ...credentials } }),
});

// The queue URLs of emulators may have a host that does not resolve.
export const sqsOptions = (isCustom: boolean) => (isCustom ? { useQueueUrlAsEndpoint: false } : {});

export const s3Options = (isCustom: boolean) => ({
  forcePathStyle: isCustom,
  // Checksums break stores that imitate S3, and wrap a body in a stream that outlives its reader.
  requestChecksumCalculation: "WHEN_REQUIRED" as const,
  responseChecksumValidation: "WHEN_REQUIRED" as const,
});
