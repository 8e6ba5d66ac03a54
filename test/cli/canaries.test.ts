// No secret leaves the process but for where it is meant to go: every one is a canary, and what a worker says and writes
// through success, failures of every kind and a crash is searched for them.
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws.ts";
import { s3Blobs } from "../../worker/blobs/s3.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { kamado, SCRIPTED } from "./process.ts";

const CANARIES = {
  engineToken: "canary-engine-0123456789",
  webToken: "canary-web-0123456789",
  awsSecret: "canary-aws-secret-0123456789",
  awsSession: "canary-aws-session-0123456789",
  header: "canary-header-0123456789",
  signing: Buffer.from("canary-signing-0123456789").toString("base64"),
  oldSigning: Buffer.from("canary-older-0123456789-x").toString("base64"),
};

/** Every secret in a file of its own, as the variables that name them. */
function secretFiles(receiver: string): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "kamado-canaries-"));
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  file("signing", `whsec_${CANARIES.signing}`);
  file("older", `whsec_${CANARIES.oldSigning}`);
  file("header", `Bearer ${CANARIES.header}`);
  const destination = {
    match: receiver,
    secretFile: "signing",
    previousSecrets: [{ file: "older" }],
    headers: { authorization: { file: "header" } },
    allowPrivate: true,
  };
  return {
    KAMADO_DESTINATIONS_FILE: file("destinations.json", JSON.stringify([destination])),
    KAMADO_ENGINE_TOKEN_FILE: file("engine", CANARIES.engineToken),
    KAMADO_WEB_TOKEN_FILE: file("web", CANARIES.webToken),
    AWS_ACCESS_KEY_ID: "AKIA",
    AWS_SECRET_ACCESS_KEY_FILE: file("aws-secret", CANARIES.awsSecret),
    AWS_SESSION_TOKEN_FILE: file("aws-session", CANARIES.awsSession),
  };
}

test("no secret shows in what a worker says, stores, or puts aside, whatever goes wrong", async () => {
  const aws = await startLocalAws({ port: 0 });
  const clients = makeAwsClients(aws);
  // A receiver that sends back what it got: the worst a failing service does.
  const receiver = await startReceiver(({ path, headers, body }, response, request) => {
    if (path === "/breaks") return void request.socket.destroy();
    response.writeHead(path === "/refuses" ? 400 : path === "/fails" ? 500 : 200);
    response.end(JSON.stringify({ headers, body }));
  });
  const deliveries = aws.resources.jobsQueueUrl.replace("kamado-jobs", "kamado-deliveries");
  const worker = kamado(["worker"], {
    ...SCRIPTED,
    ...secretFiles(receiver.url),
    AWS_ENDPOINT_URL: aws.endpoint,
    KAMADO_QUEUE_URL: aws.resources.jobsQueueUrl,
    KAMADO_DELIVERIES_QUEUE_URL: deliveries,
    KAMADO_DELIVERY_DELAYS: "0,1",
    KAMADO_MAX_ATTEMPTS: "2",
    KAMADO_RETRY_SECONDS: "1",
    KAMADO_SLOTS: "4",
    KAMADO_LOG_LEVEL: "debug",
    KAMADO_SCRIPT: JSON.stringify({
      rules: [
        { when: "please crash", times: 1, do: "crash" },
        { when: "please fail", do: "fail" },
      ],
    }),
  });
  const exited = once(worker, "exit");
  const said = Promise.all([text(worker.stdout!), text(worker.stderr!)]);
  onTestFinished(async () => {
    worker.kill("SIGKILL");
    await exited;
    await receiver.close();
    clients.destroy();
    await aws.stop();
  });

  const queue = sqsQueue(clients.sqs, aws.resources.jobsQueueUrl);
  const to = (path: string) => [{ callback: `${receiver.url}${path}?token=canary-in-the-query` }];
  const jobs = {
    "goes-well": { prompt: "well", deliver: to("/ok") },
    "is-refused": { prompt: "well", deliver: to("/refuses") },
    "receiver-fails": { prompt: "well", deliver: to("/fails") },
    "receiver-breaks-off": { prompt: "well", deliver: to("/breaks") },
    "no-such-queue": { prompt: "well", deliver: [{ sqs: `${aws.resources.jobsQueueUrl}-none` }] },
    "no-such-topic": { prompt: "well", deliver: [{ sns: `${aws.resources.topicArn}-none` }] },
    "engine-crashes": { prompt: "please crash", deliver: to("/ok") },
    "engine-fails": { prompt: "please fail", deliver: to("/ok") },
  };
  for (const [id, { prompt, deliver }] of Object.entries(jobs))
    await queue.send(JSON.stringify({ id, kind: "prompt", input: { prompt }, deliver }));
  const image = { image: "s3://kamado/in/none.png", question: "?" };
  await queue.send(
    JSON.stringify({ id: "no-object", kind: "image.check", input: image, deliver: to("/ok") }),
  );
  await queue.send("{no json");

  const blobs = s3Blobs(clients.s3);
  const stored = async () => {
    const { Contents = [] } = await clients.s3.send(new ListObjectsV2Command({ Bucket: "kamado" }));
    return Contents.map(({ Key }) => Key!);
  };
  const expected = [...Object.keys(jobs), "no-object"].map((id) => `results/${id}.json`);
  await expect.poll(stored, { timeout: 40_000, interval: 200 }).toEqual(expect.arrayContaining(expected));
  const dead = async (url: string) =>
    (await sqsQueue(clients.sqs, url).receive({ max: 10, waitSeconds: 5, visibilitySeconds: 0 })).map(
      ({ body }) => body,
    );
  const aside = [
    ...(await dead(aws.resources.deadQueueUrl)),
    ...(await dead(aws.resources.deadDeliveriesQueueUrl)),
  ];
  worker.kill("SIGTERM");
  await exited;
  const [out, errors] = await said;
  const written = await Promise.all(
    (await stored()).map(
      async (key) => (await blobs.get({ bucket: "kamado", key }, { maxBytes: 1e6 })).bytes,
    ),
  );

  // It did go through all of it, and did use its secrets.
  const arrived = receiver.received.find(({ path }) => path.startsWith("/ok"))!;
  expect(arrived.headers).toMatchObject({ authorization: `Bearer ${CANARIES.header}` });
  expect(arrived.headers["webhook-signature"]!.split(" ")).toHaveLength(2);
  expect(aside.length).toBeGreaterThanOrEqual(2);
  for (const id of [...Object.keys(jobs), "no-object"]) expect(out).toContain(id);
  for (const [name, canary] of Object.entries(CANARIES))
    for (const [where, shown] of Object.entries({
      stdout: out,
      stderr: errors,
      "dead letters": aside.join("\n"),
      objects: written.map((bytes) => Buffer.from(bytes).toString()).join("\n"),
    }))
      expect([name, where, shown.includes(canary)]).toEqual([name, where, false]);
  // An address belongs to its job, and goes where the job goes; a log is read by others.
  expect(out + errors).not.toContain("canary-in-the-query");
}, 90_000);

test("a worker that cannot start says why without the secret it was given", async () => {
  const files = secretFiles("http://127.0.0.1:1/");
  const short = "canary";
  writeFileSync(files.KAMADO_WEB_TOKEN_FILE!, short);
  const worker = kamado(["worker"], { ...SCRIPTED, ...files, KAMADO_QUEUE_URL: "http://127.0.0.1:1/q" });
  const [errors, [code]] = await Promise.all([text(worker.stderr!), once(worker, "exit")]);
  expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining("KAMADO_WEB_TOKEN") });
  expect(readFileSync(files.KAMADO_WEB_TOKEN_FILE!, "utf8")).toBe(short);
  expect(errors).not.toContain(short);
});
