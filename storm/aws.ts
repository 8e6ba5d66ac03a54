// The storm's own access to AWS, without the proxy: starts the process, puts objects, sends jobs and reads what is left.
import { type ChildProcess, fork } from "node:child_process";
import { type EventEmitter, once } from "node:events";
import { join } from "node:path";
import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { type AwsClients, makeAwsClients } from "../worker/aws/clients.ts";
import type { LocalAws } from "../worker/local/local-aws.ts";
import type { Watchdog } from "./watchdog.ts";

export type Aws = {
  where: Omit<LocalAws, "stop">;
  /** A queue that jobs may name as a destination. */
  resultQueueUrl: string;
  put(key: string, body: string | Uint8Array): Promise<void>;
  /** Reads a JSON object from the bucket; null when there is none. */
  get(key: string): Promise<unknown>;
  send(body: string): Promise<void>;
  /** How many messages a queue has: waiting, hidden and delayed. */
  count(queueUrl: string): Promise<number>;
  /** Receives and deletes every message that waits in a queue. */
  drain(queueUrl: string): Promise<Message[]>;
  stop(): Promise<void>;
};

/** `stopped` ends the wait for the process. */
export async function startAws(watchdog: Watchdog, stopped: AbortSignal): Promise<Aws> {
  const child = fork(join(import.meta.dirname, "aws-process.ts"), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  watchdog.watch(child.pid!);
  const where = (await firstMessage(child, stopped)) as Aws["where"];
  const clients = makeAwsClients(where);
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName: "storm-results" }));
  return {
    where,
    resultQueueUrl: QueueUrl!,
    ...callsOf(clients, where),
    stop: () => stop(child, clients, watchdog),
  };
}

/** The first message of a process. Rejects when the process ends or the signal fires before it. */
export async function firstMessage(child: EventEmitter, stopped: AbortSignal): Promise<unknown> {
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, stopped]);
  const gone = once(child, "exit", { signal }).then(([code, how]) => {
    throw new Error(`AWS ended (${how ?? `exit code ${code}`}) before it had started.`);
  });
  try {
    const [message] = await Promise.race([once(child, "message", { signal }), gone]);
    return message;
  } finally {
    over.abort();
    gone.catch(() => {});
  }
}

function callsOf({ sqs, s3 }: AwsClients, { resources }: Aws["where"]) {
  const Bucket = resources.bucket;
  return {
    async put(Key: string, body: string | Uint8Array) {
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: Buffer.from(body) }));
    },
    async get(Key: string): Promise<unknown> {
      try {
        const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
        return JSON.parse(await Body!.transformToString());
      } catch (thrown) {
        if ((thrown as Error).name === "NoSuchKey") return null;
        throw thrown;
      }
    },
    async send(MessageBody: string) {
      await sqs.send(new SendMessageCommand({ QueueUrl: resources.jobsQueueUrl, MessageBody }));
    },
    async count(QueueUrl: string) {
      const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] });
      const { Attributes = {} } = await sqs.send(command);
      const {
        ApproximateNumberOfMessages: waiting = 0,
        ApproximateNumberOfMessagesNotVisible: hidden = 0,
        ApproximateNumberOfMessagesDelayed: delayed = 0,
      } = Attributes;
      return Number(waiting) + Number(hidden) + Number(delayed);
    },
    async drain(QueueUrl: string) {
      const all: Message[] = [];
      for (;;) {
        const { Messages = [] } = await sqs.send(
          new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ["All"] }),
        );
        if (Messages.length === 0) return all;
        all.push(...Messages);
        const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
        await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      }
    },
  };
}

async function stop(child: ChildProcess, clients: AwsClients, watchdog: Watchdog): Promise<void> {
  clients.destroy();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  watchdog.release(child.pid!);
}
