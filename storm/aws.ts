// The storm's own way to AWS, past the proxy: it starts the process, puts objects, sends jobs and looks at what is left.
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
import type { Guardian } from "./guardian.ts";

export type Aws = {
  where: Omit<LocalAws, "stop">;
  /** A queue that results can be told to. */
  toldQueueUrl: string;
  put(key: string, body: string | Uint8Array): Promise<void>;
  /** A JSON object of the bucket; null when there is none. */
  get(key: string): Promise<unknown>;
  send(body: string): Promise<void>;
  /** Messages of a queue: waiting, hidden and delayed. */
  count(queueUrl: string): Promise<number>;
  /** Takes everything that waits in a queue out of it. */
  drain(queueUrl: string): Promise<Message[]>;
  stop(): Promise<void>;
};

/** `stopped` ends the wait for it. */
export async function startAws(guardian: Guardian, stopped: AbortSignal): Promise<Aws> {
  const child = fork(join(import.meta.dirname, "aws-process.ts"), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  guardian.guard(child.pid!);
  const where = (await firstWord(child, stopped)) as Aws["where"];
  const clients = makeAwsClients(where);
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName: "storm-told" }));
  return {
    where,
    toldQueueUrl: QueueUrl!,
    ...callsOf(clients, where),
    stop: () => stop(child, clients, guardian),
  };
}

/** What a process says first. Rejects when it ends, or the signal fires, before it has said anything. */
export async function firstWord(child: EventEmitter, stopped: AbortSignal): Promise<unknown> {
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, stopped]);
  const gone = once(child, "exit", { signal }).then(([code, how]) => {
    throw new Error(`AWS ended (${how ?? `exit code ${code}`}) before it had started.`);
  });
  try {
    const [word] = await Promise.race([once(child, "message", { signal }), gone]);
    return word;
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

async function stop(child: ChildProcess, clients: AwsClients, guardian: Guardian): Promise<void> {
  clients.destroy();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  guardian.release(child.pid!);
}
