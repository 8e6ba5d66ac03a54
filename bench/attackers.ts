// What the attackers of `bench neighbours` do: for each kind what it puts in the bucket beforehand, and what it sends at once.
// Each would have held up everybody on a worker without budgets. What is measured meanwhile is in neighbours.ts.
import { fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import type { AwsProcess } from "./aws-process.ts";
import { jpegWithScans, png, webpWithFrames } from "./hostile-pictures.ts";
import { descendantWith } from "./process-usage.ts";
import { sendAll } from "./worker-process.ts";

/** Whom an attacker can reach. */
export type Target = {
  aws: AwsProcess;
  engineUrl: string;
  /** The worker's process, whose engine the crashing jobs end. */
  workerPid: number;
  /** Where the attacker's own results go, so that the table can show how its jobs ended. */
  receiverUrl: string;
  /** Addresses that accept connections and never answer. */
  silentUrls: readonly string[];
  /** Fires when the honest jobs have ended. */
  signal: AbortSignal;
};

type Attacker = {
  about: string;
  /** How many times as long as the others it is measured. [1] */
  times?: number;
  /** Before anything is measured. */
  prepare?(target: Target): Promise<void>;
  attack(target: Target): Promise<void>;
};

/** Where uploads become jobs, by the rules file of the worker. */
export const UPLOADS = "in/u/";
export const RULES = [{ prefix: UPLOADS, kind: "prompt", input: { prompt: "$object", maxTokens: 50 } }];
export const SILENT_RECEIVERS = 10;

export const ATTACKERS = {
  schema: {
    about: "two schemas of a few KB whose grammars have millions of parse stacks",
    attack: (target) =>
      send(target, [
        prompt("attack-schema-10", { schema: ambiguousSchema(7, 10) }),
        prompt("attack-schema-3", { schema: ambiguousSchema(11, 3) }),
      ]),
  },
  // Each death of the engine costs everybody the time of a restart, the first two at once. What counts is how often it may happen.
  crashes: { about: "19 jobs that each end the engine", times: 20, attack: crash },
  text: { about: "two texts of 400 KB that look like one sentence, without a question", attack: texts([]) },
  articles: { about: "the same two texts, with 400 questions to the model", attack: texts(["Who?"]) },
  pictures: { about: "pictures of 15,000 scans, 200,000 frames and 50,000,000 pixels", ...pictures() },
  tarpit: {
    about: `24 jobs whose results go to ${SILENT_RECEIVERS} receivers that never answer`,
    attack: (target) =>
      send(
        target,
        Array.from({ length: 24 }, (_, index) => ({
          ...prompt(`attack-tarpit-${index}`, { maxTokens: 4 }),
          deliver: [{ callback: target.silentUrls[index % target.silentUrls.length] }],
        })),
      ),
  },
  event: { about: "one S3 event with 15,000 records", attack: (target) => sendBody(target, giantEvent()) },
  budget: {
    about: "one job of 382 KB that asks for 9,900 answers",
    attack: (target) => {
      const questions = Array.from({ length: 50 }, (_, index) => `What is ${index}?`);
      return send(target, [article("attack-budget", "The rent is due on Monday. ", questions)]);
    },
  },
  bodies: { about: "16 requests of 47 MiB to the engine, and 40 streams that nobody reads", attack: bodies },
} satisfies Record<string, Attacker>;
export type AttackerName = keyof typeof ATTACKERS;

function texts(questions: readonly string[]): Attacker["attack"] {
  const patterns = ["Mr. ", "no. 1 "];
  return (target) =>
    send(
      target,
      patterns.map((pattern, at) => article(`attack-text-${at}`, pattern, questions)),
    );
}

type Job = { id: string; kind: string; input: object; deliver?: object[] };

const prompt = (id: string, input: object): Job => ({
  id,
  kind: "prompt",
  input: { prompt: "Say something.", maxTokens: 400, ...input },
});

const ARTICLE_CHARACTERS = 400_000;
const article = (id: string, pattern: string, questions: readonly string[]): Job => ({
  id,
  kind: "article.extract",
  input: {
    text: pattern.repeat(ARTICLE_CHARACTERS / pattern.length),
    questions,
    maxFacts: questions.length > 1 ? 1 : 0,
  },
});

function send({ aws, receiverUrl }: Target, jobs: readonly Job[]): Promise<void> {
  const bodies = jobs.map((job) => ({ deliver: [{ callback: receiverUrl }], ...job }));
  // One by one: a batch of SQS may have 1 MiB in all.
  const queueUrl = aws.resources.jobsQueueUrl;
  return bodies.reduce(
    (before, body) => before.then(() => sendAll(aws.clients.sqs, queueUrl, [body])),
    Promise.resolve(),
  );
}

const sendBody = ({ aws }: Target, body: object) =>
  sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, [body]);

/** `levels` of equal alternatives, each an array of one element of the next level: `width` to the power of `levels` parses. */
function ambiguousSchema(levels: number, width: number): object {
  const reference = (level: number) => ({ $ref: `#/$defs/level${level}` });
  const alternative = (level: number) => ({
    type: "array",
    items: level + 1 < levels ? reference(level + 1) : { type: "boolean" },
    minItems: 1,
    maxItems: 1,
  });
  const definitions = Array.from({ length: levels }, (_, level) => [
    `level${level}`,
    { anyOf: Array.from({ length: width }, () => alternative(level)) },
  ]);
  return { ...reference(0), $defs: Object.fromEntries(definitions) };
}

/** A priority that no honest job has. The engine's slots show it, so that the attacker sees when one of these jobs is in the engine. */
const CRASH_PRIORITY = 3;
const CRASHES = 19;
const LOOK_MS = 20;
/** An answer that is long enough to be seen in its slot. */
const LONG = { schema: { type: "array", items: { type: "integer" }, minItems: 100 } };

/** Kills the engine each time one of the jobs is in it: the same, for everybody else, as a job whose input crashes native code. */
async function crash(target: Target): Promise<void> {
  const jobs = Array.from({ length: CRASHES }, (_, index) => ({
    ...prompt(`attack-crash-${index}`, LONG),
    policy: { priority: CRASH_PRIORITY },
  }));
  await send(target, jobs);
  while (!target.signal.aborted) {
    if (await isCrashing(target.engineUrl)) killEngine(target.workerPid);
    await sleep(LOOK_MS);
  }
}

type Slots = { slots: { priority: number | null }[] };

async function isCrashing(engineUrl: string): Promise<boolean> {
  try {
    const { slots } = (await (await fetch(`${engineUrl}/slots`)).json()) as Slots;
    return slots.some(({ priority }) => priority === CRASH_PRIORITY);
  } catch {
    // It has been killed and not started again yet.
    return false;
  }
}

function killEngine(workerPid: number): void {
  const pid = descendantWith("engine/main.ts", workerPid);
  if (pid !== undefined) process.kill(pid, "SIGKILL");
}

function pictures(): Pick<Attacker, "prepare" | "attack"> {
  const keys = ["scans.jpg", "frames.webp", "wide.png", "wide16.png"].map((name) => `in/${name}`);
  return {
    async prepare({ aws }) {
      const files = [
        await jpegWithScans(15_000),
        await webpWithFrames(200_000),
        png(5_000_000, 10, { bitDepth: 16 }),
        png(7_000, 7_000, { bitDepth: 16 }),
      ];
      const { bucket } = aws.resources;
      for (const [index, Body] of files.entries())
        await aws.clients.s3.send(new PutObjectCommand({ Bucket: bucket, Key: keys[index], Body }));
    },
    attack: (target) =>
      send(
        target,
        keys.map((key) => ({
          id: `attack-${key.slice(3).replace(".", "-")}`,
          kind: "image.check",
          input: { image: `s3://${target.aws.resources.bucket}/${key}`, question: "Is it red?" },
        })),
      ),
  };
}

const RECORDS = 15_000;

function giantEvent(): object {
  const record = (index: number) => ({
    s3: { bucket: { name: "kamado" }, object: { key: `${UPLOADS}${index}` } },
  });
  return { Records: Array.from({ length: RECORDS }, (_, index) => record(index)) };
}

/** In a process of its own: the honest jobs are sent and received in this one, which must not wait for what the attacker sends. */
async function bodies({ engineUrl, signal }: Target): Promise<void> {
  const child = fork(join(import.meta.dirname, "bodies-process.ts"), [engineUrl], { stdio: "inherit" });
  const gone = once(child, "exit");
  await once(signal, "abort");
  child.kill("SIGKILL");
  await gone;
}

/** Listeners that accept a connection and never send a byte. */
export async function startSilentReceivers(stack: AsyncDisposableStack): Promise<string[]> {
  return Promise.all(
    Array.from({ length: SILENT_RECEIVERS }, async () => {
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        sockets.add(socket.on("error", () => {}));
      });
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      stack.defer(async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((closed) => server.close(closed));
      });
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    }),
  );
}
