// The embedded AWS for a suite: started before it, stopped and its folder removed after it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { type AwsClients, makeAwsClients } from "../../worker/aws.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

export function embeddedAws({ kept }: { kept: boolean }): () => AwsClients {
  const dataDir = kept ? mkdtempSync(join(tmpdir(), "kamado-suite-")) : undefined;
  let aws: LocalAws;
  let clients: AwsClients;
  beforeAll(async () => {
    aws = await startLocalAws({ port: 0, ...(dataDir !== undefined && { dataDir }) });
    clients = makeAwsClients(aws);
  });
  afterAll(async () => {
    clients.destroy();
    await aws.stop();
    if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
  });
  return () => clients;
}
