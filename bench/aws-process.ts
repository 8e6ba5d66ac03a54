// The embedded AWS as a process of its own, so that what it costs is not counted as the worker's. It ends with the bench.
import { fork } from "node:child_process";
import { once } from "node:events";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { type AwsClients, makeAwsClients } from "../worker/aws.ts";
import type { LocalAws } from "../worker/local/local-aws.ts";
import { startDelayingProxy } from "./delaying-proxy.ts";

export type AwsProcess = Omit<LocalAws, "stop"> & {
  pid: number;
  clients: AwsClients;
  /** An empty queue; its address. */
  newQueue(): Promise<string>;
  stop(): Promise<void>;
};

/** `roundTripMs`: everything that goes to `endpoint` is so far away. */
export async function startAwsProcess(roundTripMs?: number): Promise<AwsProcess> {
  const args = roundTripMs === undefined ? [] : [String(roundTripMs)];
  const child = fork(import.meta.filename, args, { stdio: "inherit" });
  const [aws] = (await once(child, "message")) as [Omit<LocalAws, "stop">];
  const clients = makeAwsClients(aws);
  let queues = 0;
  return {
    ...aws,
    pid: child.pid!,
    clients,
    async newQueue() {
      const command = new CreateQueueCommand({ QueueName: `bench-${++queues}` });
      const { QueueUrl } = await clients.sqs.send(command);
      return QueueUrl!;
    },
    async stop() {
      clients.destroy();
      if (child.exitCode !== null) return;
      child.disconnect();
      await once(child, "exit");
    },
  };
}

if (import.meta.main) {
  const { startLocalAws } = await import("../worker/local/local-aws.ts");
  const { stop: _, ...aws } = await startLocalAws({ port: 0 });
  const roundTripMs = process.argv[2];
  const endpoint =
    roundTripMs === undefined ? aws.endpoint : await startDelayingProxy(aws.endpoint, Number(roundTripMs));
  process.send!({ ...aws, endpoint });
  process.once("disconnect", () => process.exit(0));
}
