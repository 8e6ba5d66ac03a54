// What a client of SQS or S3 is told besides its address and credentials: the worker's own, and those of `kamado/client`. `isCustom`:
// an endpoint is configured, so that it may be an emulator. Pure.

// The queue URLs of emulators may have a host that does not resolve.
export const sqsOptions = (isCustom: boolean) => (isCustom ? { useQueueUrlAsEndpoint: false } : {});

export const s3Options = (isCustom: boolean) => ({
  forcePathStyle: isCustom,
  // Checksums break stores that imitate S3, and wrap a body in a stream that outlives its reader.
  requestChecksumCalculation: "WHEN_REQUIRED" as const,
  responseChecksumValidation: "WHEN_REQUIRED" as const,
});
