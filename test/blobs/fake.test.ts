// The fake object store keeps the same promises as the real ones.
import { blobsCases } from "../conformance/blobs.cases.ts";
import { runSuite } from "../conformance/suite.ts";
import { FakeBlobs } from "../fakes/blobs.ts";

runSuite("the fake object store", blobsCases, () => ({ blobs: new FakeBlobs(), bucket: "kamado" }), {});
