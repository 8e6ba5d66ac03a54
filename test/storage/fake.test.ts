// The fake object store keeps the same promises as the real ones.
import { blobsCases } from "../conformance/bucket.cases.ts";
import { runSuite } from "../conformance/suite.ts";
import { FakeBlobs } from "../fakes/bucket.ts";

runSuite("the fake object store", blobsCases, () => ({ blobs: new FakeBlobs(), bucket: "kamado" }), {});
