// The embedded AWS as a process of its own, so that its costs are not counted as the worker's. Optionally behind a slow network.
// It ends with the bench.
import { fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { type AwsClients, makeAwsClients } from "../worker/aws/clients.ts";
import { KamadoError } from "../worker/errors.ts";
import type { LocalAws } from "../worker/local/local-aws.ts";
import type { Session } from "./session.ts";

export type AwsProcess = Omit<LocalAws, "stop"> & {
  pid: number;
  clients: AwsClients;
  /** Creates an empty queue and returns its URL. */
  newQueue(): Promise<string>;
  stop(): Promise<void>;
};

/** Every request to `endpoint` takes `roundTripMs` longer. */
export async function startAwsProcess(session: Session, roundTripMs?: number): Promise<AwsProcess> {
  const args = roundTripMs === undefined ? [] : [String(roundTripMs)];
  // Ctrl-C reaches only the bench, which stops this process after those that use it.
  const child = fork(import.meta.filename, args, { stdio: "inherit", detached: true });
  const gone = once(child, "exit").catch(() => {});
  let isStopping = false;
  const stop = async () => {
    isStopping = true;
    if (child.connected) child.disconnect();
    await gone;
  };
  const ended = new KamadoError("queue_unavailable", "The embedded AWS ended while it was used.");
  void gone.then(() => isStopping || session.end(ended));
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

/** Forwards bytes in order, half a round trip later in each direction. Returns its URL. It lives as long as the process. */
async function startDelayingProxy(target: string, roundTripMs: number): Promise<string> {
  const { hostname, port } = new URL(target);
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: hostname, port: Number(port), noDelay: true });
    forward(near, far, roundTripMs / 2);
    forward(far, near, roundTripMs / 2);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function forward(from: Socket, to: Socket, delayMs: number): void {
  const later = (act: () => void) => (delayMs === 0 ? act() : setTimeout(act, delayMs));
  from.on("data", (bytes) => later(() => to.writable && to.write(bytes)));
  from.on("close", () => later(() => to.destroy()));
  from.on("error", () => {});
}

if (import.meta.main) {
  // The bench may have ended before this process serves.
  process.once("disconnect", () => process.exit(0));
  if (!process.connected) process.exit(0);
  const { startLocalAws } = await import("../worker/local/local-aws.ts");
  const { stop: _, ...aws } = await startLocalAws({ port: 0 });
  const roundTripMs = process.argv[2];
  const endpoint =
    roundTripMs === undefined ? aws.endpoint : await startDelayingProxy(aws.endpoint, Number(roundTripMs));
  process.send!({ ...aws, endpoint });
}
