// The S3 adapter keeps a bucket's promises against the embedded AWS, in memory and in a folder.
import { describe } from "vitest";
import { bucketCases } from "../conformance/bucket.cases.ts";
import { embeddedAws } from "../conformance/embedded.ts";
import { s3Harness } from "../conformance/over-aws.ts";
import { runSuite } from "../conformance/suite.ts";

describe.each([
  ["in memory", false],
  ["in a folder", true],
])("the embedded AWS %s", (_, kept) => {
  const clients = embeddedAws({ kept });
  runSuite("S3", bucketCases, () => s3Harness(clients()), {});
});
