// The only file that knows the inside of fauxqs. Its public start function listens on every interface, so this file builds the
// server from parts that the package does not export. That is why its version is exact.
import { AsyncLocalStorage } from "node:async_hooks";
import { findPackageJSON } from "node:module";
import type { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { buildApp } from "fauxqs";

/** The file, in its data folder, that fauxqs keeps everything in. */
export const DATABASE = "fauxqs.db";

/** The version that this file was written for. A test compares it with the installed one. */
export const FAUXQS_VERSION = "2.4.1";

type BuildOptions = NonNullable<Parameters<typeof buildApp>[0]>;
type Stores = NonNullable<BuildOptions["stores"]>;
export type FauxqsApp = ReturnType<typeof buildApp>;
export type Fauxqs = {
  app: FauxqsApp;
  stores: Stores;
  /** A body that an SDK sent in chunks, and the headers behind it. */
  decodeChunks(bytes: Buffer): { body: Buffer; trailers: Record<string, string> };
  closeStore(): void;
};

type SqsQueue = ReturnType<Stores["sqsStore"]["createQueue"]>;
type Persistence = NonNullable<SqsQueue["persistence"]> & {
  load(...stores: [Stores["sqsStore"], Stores["snsStore"], Stores["s3Store"]]): void;
  close(): void;
};

/** A server that does not listen yet. With `dataDir` it loads what an earlier server stored there. */
export async function buildFauxqs(region: string, dataDir?: string): Promise<Fauxqs> {
  const { SqsStore } = await inside<{ SqsStore: SqsStoreClass }>("sqs/sqsStore.js");
  const { SnsStore } = await inside<{ SnsStore: new () => Stores["snsStore"] }>("sns/snsStore.js");
  const { S3Store } = await inside<{ S3Store: new () => Stores["s3Store"] }>("s3/s3Store.js");
  const { decodeAwsChunked: decodeChunks } = await inside<{ decodeAwsChunked: Fauxqs["decodeChunks"] }>(
    "s3/chunkedEncoding.js",
  );
  await allowEveryCharacter();
  const stores: Stores = { sqsStore: new SqsStore(), snsStore: new SnsStore(), s3Store: new S3Store() };
  const persistence = dataDir === undefined ? null : await persist(stores, dataDir);
  const app = buildApp({ logger: false, stores, defaultRegion: region });
  takeBigObjects(app);
  keepObjectsAsTheyCome(app);
  keepEncodings(app, stores);
  keepGroups(app, SqsStore);
  // Without a host of its own, it answers with the host of the request, which the client can reach.
  (stores.sqsStore as { host: string | undefined }).host = undefined;
  return { app, stores, decodeChunks, closeStore: () => persistence?.close() };
}

/** Gives stored queues the current address: a queue keeps the address and port at which it was created. */
export function readdress({ stores: { sqsStore } }: Fauxqs, endpoint: string): void {
  const { queues: byUrl } = sqsStore as unknown as { queues: Map<string, SqsQueue> };
  for (const queue of [...byUrl.values()]) {
    byUrl.delete(queue.url);
    const url = new URL(new URL(queue.url).pathname, endpoint).href;
    byUrl.set(url, Object.assign(queue, { url }));
  }
}

/**
 * Stores everything in SQLite, objects too. The file store of fauxqs makes `A.json` and `a.json` one file on a Mac, lets a key
 * with `..` leave its folder, and cannot start again after a kill in the middle of a write.
 */
async function persist(stores: Stores, dataDir: string): Promise<Persistence> {
  const { PersistenceManager } = await inside<{ PersistenceManager: new (folder: string) => Persistence }>(
    "persistence.js",
  );
  const persistence = new PersistenceManager(dataDir);
  const { sqsStore, snsStore, s3Store } = stores;
  try {
    letMessagesBeGivenBack(persistence);
    hideNoMessageOnAFullDisk(persistence);
    // It must load before it is attached: otherwise loading a queue writes it again and thereby deletes its messages.
    persistence.load(sqsStore, snsStore, s3Store);
  } catch (error) {
    persistence.close();
    throw error;
  }
  const attach = (part: object) => Object.assign(part, { persistence });
  for (const part of [sqsStore, snsStore, s3Store, ...sqsStore.allQueues()]) attach(part);
  return persistence;
}

// fauxqs's own statement also empties the receive count, which the table forbids: to give a message back would fail, and the
// message would be gone until the next start.
function letMessagesBeGivenBack(persistence: Persistence): void {
  const ready =
    "UPDATE sqs_messages SET receipt_handle = NULL, visibility_deadline = NULL WHERE message_id = ?";
  const { db } = persistence as unknown as { db: DatabaseSync };
  const statement = db.prepare(ready);
  persistence.updateMessageReady = (messageId) => void statement.run(messageId);
}

/**
 * fauxqs takes a message off its list before it stores who holds it. If that cannot be written, the receive or the release failed,
 * and the message stayed hidden: until its visibility ended, or until the next start. Who holds a message may be forgotten: after a
 * restart it is received once more. Sending and deleting still fail, because what they promise must be on disk.
 */
function hideNoMessageOnAFullDisk(persistence: Persistence): void {
  const { updateMessageInflight, updateMessageReady } = persistence;
  persistence.updateMessageInflight = (...given) =>
    unlessUnwritable(() => updateMessageInflight.apply(persistence, given));
  persistence.updateMessageReady = (...given) =>
    unlessUnwritable(() => updateMessageReady.apply(persistence, given));
}

function unlessUnwritable(write: () => void): void {
  try {
    write();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ERR_SQLITE_ERROR") throw thrown;
  }
}

/** Seconds. Long enough that a consumer elsewhere does not ask without a pause while this server stops. */
const LAST_WAIT = 0.2;

/** Answers every poll that waits, with what there is, and lets none wait long from now on. */
export function endPolls({ stores: { sqsStore } }: Fauxqs): void {
  for (const queue of sqsStore.allQueues()) {
    const { waitForMessages } = queue;
    queue.waitForMessages = (seconds) => waitForMessages.call(queue, Math.min(seconds, LAST_WAIT));
    queue.cancelWaiters();
  }
}

type S3Object = { etag: string; contentLength: number };

/** What is known of an object; undefined when there is no such object. */
export function objectOf(s3Store: Stores["s3Store"], bucket: string, key: string): S3Object | undefined {
  const { buckets } = s3Store as unknown as { buckets: Map<string, Map<string, S3Object>> };
  return buckets.get(bucket)?.get(key);
}

/** The longest object that one request may put, in bytes; the emulator holds it in memory as it arrives. */
const MAX_OBJECT = 256 * 1024 * 1024;

// fauxqs accepts 11 MiB, which is less than one photo of a good camera.
function takeBigObjects(app: FauxqsApp): void {
  app.removeContentTypeParser("*");
  app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: MAX_OBJECT }, (_request, body, done) =>
    done(null, body),
  );
}

// fauxqs forgets how an object is packed when an SDK also sent it in chunks: "gzip,aws-chunked".
function keepEncodings(app: FauxqsApp, { s3Store }: Stores): void {
  const encoding = new AsyncLocalStorage<string>();
  app.addHook("preHandler", ({ headers }, _reply, done) => {
    const names = (headers["content-encoding"] ?? "").split(",").map((name) => name.trim());
    const kept = names.includes("aws-chunked") ? names.filter((name) => name !== "aws-chunked") : [];
    encoding.run(kept.join(","), done);
  });
  const { putObject } = s3Store;
  s3Store.putObject = (bucket, key, body, type, metadata, system, ...rest) => {
    const contentEncoding = encoding.getStore();
    const all = contentEncoding ? { ...system, contentEncoding } : system;
    return putObject.call(s3Store, bucket, key, body, type, metadata, all, ...rest);
  };
}

type Sent = { MessageBody?: unknown; MessageGroupId?: unknown };
type SqsStoreClass = (new () => Stores["sqsStore"]) & {
  createMessage(body: string, attributes?: object, delay?: number, group?: string, id?: string): object;
};

/** What the request at hand sends. For all servers of this process: they share the class that makes messages. */
const sent = new AsyncLocalStorage<Sent[]>();
let keepsGroups = false;

// fauxqs forgets the group of a message to a queue that is not FIFO, where it names the tenant.
function keepGroups(app: FauxqsApp, SqsStore: SqsStoreClass): void {
  app.addHook("preHandler", ({ body }, _reply, done) => {
    const request = (body ?? {}) as Sent & { Entries?: unknown };
    sent.run(Array.isArray(request.Entries) ? [...request.Entries] : [request], done);
  });
  if (keepsGroups) return;
  keepsGroups = true;
  const { createMessage } = SqsStore;
  SqsStore.createMessage = (body, attributes, delay, group, ...rest) => {
    const all = sent.getStore() ?? [];
    // Entries are taken in their order, but those that are refused make no message.
    const index = all.findIndex((one) => one?.MessageBody === body);
    const [one] = index < 0 ? [] : all.splice(index, 1);
    const named = typeof one?.MessageGroupId === "string" ? one.MessageGroupId : undefined;
    return createMessage.call(SqsStore, body, attributes, delay, group ?? named, ...rest);
  };
}

// fauxqs takes whatever calls itself a form or JSON of AWS for a request to a queue or topic. curl calls every object that it puts a form.
function keepObjectsAsTheyCome(app: FauxqsApp): void {
  const parsers = {
    "application/x-www-form-urlencoded": (text: string) => Object.fromEntries(new URLSearchParams(text)),
    "application/x-amz-json-1.0": (text: string) => JSON.parse(text) as unknown,
  };
  for (const [type, parse] of Object.entries(parsers)) {
    app.removeContentTypeParser(type);
    app.addContentTypeParser(type, { parseAs: "buffer", bodyLimit: MAX_OBJECT }, (request, body, done) => {
      if (request.method !== "POST") return done(null, body);
      try {
        done(null, parse(body.toString()));
      } catch (thrown) {
        done(Object.assign(thrown as Error, { statusCode: 400 }));
      }
    });
  }
}

// fauxqs checks bodies by UTF-16 unit and so refuses every character above U+FFFF, such as emoji. AWS accepts them.
async function allowEveryCharacter(): Promise<void> {
  const { INVALID_MESSAGE_BODY_CHAR } = await inside<{ INVALID_MESSAGE_BODY_CHAR: RegExp }>(
    "sqs/sqsTypes.js",
  );
  const allowed = /^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]*$/u;
  INVALID_MESSAGE_BODY_CHAR.test = (body) => !allowed.test(body);
}

async function inside<T>(path: string): Promise<T> {
  const manifest = findPackageJSON("fauxqs", import.meta.url);
  return (await import(new URL(`dist/${path}`, pathToFileURL(manifest!)).href)) as T;
}
