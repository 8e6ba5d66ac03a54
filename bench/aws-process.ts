// The embedded AWS as a process of its own, so that what it costs is not counted as the worker's. It ends with the bench.
import { fork } from "node:child_process";
import { once } from "node:events";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { type AwsClients, makeAwsClients } from "../worker/aws/clients.ts";
import { KamadoError } from "../worker/errors.ts";
import type { LocalAws } from "../worker/local/local-aws.ts";
import { startDelayingProxy } from "./delaying-proxy.ts";
import type { Session } from "./session.ts";

export type AwsProcess = Omit<LocalAws, "stop"> & {
  pid: number;
  clients: AwsClients;
  /** An empty queue; its address. */
  newQueue(): Promise<string>;
  stop(): Promise<void>;
};

/** `roundTripMs`: everything that goes to `endpoint` is so far away. */
export async function startAwsProcess(session: Session, roundTripMs?: number): Promise<AwsProcess> {
  const args = roundTripMs === undefined ? [] : [String(roundTripMs)];
  // Ctrl-C reaches the bench alone, which stops it after those who use it.
  const child = fork(import.meta.filename, args, { stdio: "inherit", detached: true });
  const gone = once(child, "exit").catch(() => {});
  let isStopping = false;
  const stop = async () => {
    isStopping = true;
    if (child.connected) child.disconnect();
    await gone;
  };
  const fell = new KamadoError("queue_unavailable", "The embedded AWS ended while it was used.");
  void gone.then(() => isStopping || session.end(fell));
  try {
    const [aws] = (await session.during(once(child, "message"))) as [Omit<LocalAws, "stop">];
    return { ...aws, pid: child.pid!, ...queuesOf(aws, stop) };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

function queuesOf(aws: Omit<LocalAws, "stop">, stop: () => Promise<void>) {
  const clients = makeAwsClients(aws);
  let queues = 0;
  return {
    clients,
    async newQueue() {
      const command = new CreateQueueCommand({ QueueName: `bench-${++queues}` });
      const { QueueUrl } = await clients.sqs.send(command);
      return QueueUrl!;
    },
    async stop() {
      clients.destroy();
      await stop();
    },
  };
}

if (import.meta.main) {
  // The bench may be gone before this process serves.
  process.once("disconnect", () => process.exit(0));
  if (!process.connected) process.exit(0);
  const { startLocalAws } = await import("../worker/local/local-aws.ts");
  const { stop: _, ...aws } = await startLocalAws({ port: 0 });
  const roundTripMs = process.argv[2];
  const endpoint =
    roundTripMs === undefined ? aws.endpoint : await startDelayingProxy(aws.endpoint, Number(roundTripMs));
  process.send!({ ...aws, endpoint });
}
