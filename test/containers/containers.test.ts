// What of the container files can be shown without a container engine. test/containers/from-bare-image.ts runs them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { GetQueueAttributesCommand, ReceiveMessageCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** Runs a script of infra/ as Compose does. */
async function script(path: string, variables: Record<string, string>) {
  const child = spawn(process.execPath, [join(ROOT, path)], {
    env: { PATH: process.env.PATH, ...variables },
  });
  const [out, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { out, errors, code };
}

describe("the Containerfile", () => {
  const containerfile = read("Containerfile");
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };

  test("leaves out packages that are still dependencies, under the names that they have", () => {
    const left = [...containerfile.matchAll(/'dependencies\[([^\]]+)\]'/g)].map(([, name]) => name!);
    expect(left.toSorted()).toEqual(["@fugood/llama.node", "fauxqs", "node-llama-cpp"]);
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(left));
  });

  test("copies only what exists and what is not left out of the context", () => {
    const sources = [...containerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, list]) =>
      list!.split(" "),
    );
    expect(sources.length).toBeGreaterThan(4);
    const kept = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    for (const source of sources)
      expect([source, existsSync(join(ROOT, source)), kept.includes(source)]).toEqual([source, true, true]);
  });

  test("ends as a user without rights, with a health check and Debian's and Node's own images as defaults", () => {
    expect(containerfile.split(/^FROM /m).at(-1)).toMatch(/^USER 65532:65532$/m);
    expect(containerfile).toMatch(/^HEALTHCHECK /m);
    expect(containerfile.match(/^ARG \w+=docker\.io\/library\/.+$/gm)).toHaveLength(2);
  });
});

test("Compose publishes LocalStack alone, on the loopback address, in the version that needs no account", () => {
  const compose = read("docker-compose.localstack.yml");
  const ports = [...compose.matchAll(/^ {4}ports:\n((?: {6}- .*\n)+)/gm)].map(([, list]) => list!.trim());
  expect(ports).toEqual([expect.stringMatching(/^- 127\.0\.0\.1:\$\{KAMADO_LOCAL_PORT:-4566\}:4566$/)]);
  expect(compose).toMatch(/\$\{LOCALSTACK_IMAGE:-docker\.io\/localstack\/localstack:4\.14\.0\}/);
});

describe("the script that creates the resources", () => {
  let aws: LocalAws;
  beforeAll(async () => {
    aws = await startLocalAws({ port: 0 });
  });
  afterAll(() => aws.stop());

  test("may run again: messages stay, and queues get the attributes that they should have", async () => {
    const { endpoint, region, credentials, resources } = aws;
    const { sqs, destroy } = makeAwsClients({ endpoint, region, credentials });
    const QueueUrl = resources.jobsQueueUrl;
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "stays" }));
    const ran = await script("infra/localstack-init/create.mjs", { AWS_ENDPOINT_URL: endpoint });
    expect(ran).toMatchObject({ code: 0, errors: "", out: expect.stringContaining("kamado-jobs") });
    const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
    expect(Messages?.[0]?.Body).toBe("stays");
    const asked = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["RedrivePolicy"] });
    expect((await sqs.send(asked)).Attributes?.RedrivePolicy).toContain('"maxReceiveCount":100');
    destroy();
  });

  test("without an endpoint it says what to set, and touches nothing on AWS", async () => {
    expect(await script("infra/localstack-init/create.mjs", {})).toMatchObject({
      code: 1,
      errors: expect.stringContaining("AWS_ENDPOINT_URL is not set"),
    });
  });
});

test.each([
  [200, 0],
  [503, 1],
])("the health check of the container: a page that answers %i ends it with %i", async (status, code) => {
  const server = createServer((_, response) => response.writeHead(status).end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect((await script("infra/container-health.mjs", { KAMADO_WEB_PORT: String(port) })).code).toBe(code);
  server.closeAllConnections();
  server.close();
  await once(server, "close");
  expect((await script("infra/container-health.mjs", { KAMADO_WEB_PORT: String(port) })).code).toBe(1);
});
