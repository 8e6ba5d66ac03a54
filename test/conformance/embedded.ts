// The embedded AWS for a suite: started before it; stopped, and its folder removed, after it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import type { AwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { patientClients } from "./over-aws.ts";

export function embeddedAws({ kept }: { kept: boolean }): () => AwsClients {
  const dataDir = kept ? mkdtempSync(join(tmpdir(), "kamado-suite-")) : undefined;
  let aws: LocalAws | undefined;
  let clients: AwsClients | undefined;
  beforeAll(async () => {
    aws = await startLocalAws({ port: 0, ...(dataDir !== undefined && { dataDir }) });
    clients = patientClients(aws);
  });
  afterAll(async () => {
    clients?.destroy();
    await aws?.stop();
    if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
  });
  return () => clients!;
}
