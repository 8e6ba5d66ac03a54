// The fake bucket keeps the same promises as the real ones.
import { bucketCases } from "../conformance/bucket.cases.ts";
import { runSuite } from "../conformance/suite.ts";
import { FakeBucket } from "../fakes/bucket.ts";

runSuite(
  "the fake bucket",
  bucketCases,
  () => ({ bucket: new FakeBucket(), missing: Object.assign(new FakeBucket(), { isMissing: true }) }),
  {},
);
