// What the embedded AWS answers when its database fails: an error of AWS's form, which says what is wrong.
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { buildFauxqs } from "../../worker/local/fauxqs.ts";
import { guard } from "../../worker/local/guards.ts";
import { refuseUnknownRequests } from "../../worker/local/unknown-requests.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";

/** An embedded AWS whose every write fails as SQLite fails. */
async function failing(errcode: number, message: string) {
  const fauxqs = await buildFauxqs("us-east-1");
  guard(fauxqs, { region: "us-east-1" });
  refuseUnknownRequests(fauxqs);
  const queue = fauxqs.stores.sqsStore.createQueue("jobs", "http://127.0.0.1/000000000000/jobs", "arn", {});
  const fail = () => {
    throw Object.assign(new Error(message), { code: "ERR_SQLITE_ERROR", errcode });
  };
  queue.enqueue = fail;
  fauxqs.stores.s3Store.createBucket("kamado");
  fauxqs.stores.s3Store.putObject = fail;
  await fauxqs.app.listen({ host: "127.0.0.1", port: 0 });
  onTestFinished(() => fauxqs.app.close());
  const endpoint = `http://127.0.0.1:${(fauxqs.app.server.address() as AddressInfo).port}`;
  const clients = makeAwsClients({
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
  });
  onTestFinished(() => clients.destroy());
  return {
    queue: sqsQueue(clients.sqs, "http://127.0.0.1/000000000000/jobs"),
    bucket: s3Bucket(clients.s3, "kamado"),
  };
}

test("a full disk is named, with what to do, by queue and bucket", async () => {
  const { queue, bucket } = await failing(13, "database or disk is full");
  const refused = { detail: { awsFailure: "disk_full" }, hint: expect.stringContaining("KAMADO_DATA_DIR") };
  await expect(queue.send("a")).rejects.toMatchObject({ code: "queue_unavailable", ...refused });
  await expect(bucket.put("in/a", "a", { contentType: "text/plain" })).rejects.toMatchObject({
    code: "storage_unavailable",
    message: expect.stringContaining("disk of the embedded bucket is full"),
    ...refused,
  });
});

test("another failure of the database comes with its own words", async () => {
  const { bucket } = await failing(10, "disk I/O error");
  await expect(bucket.put("in/a", "a", { contentType: "text/plain" })).rejects.toThrow(/disk I\/O error/);
});
