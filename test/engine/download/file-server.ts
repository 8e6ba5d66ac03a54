// A server of files for downloads, on loopback: Hugging Face and the server that it redirects to, in one process with two ports. Each test
// chooses how it misbehaves.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

const DEMO = join(import.meta.dirname, "../../../models/demo");
export const MODEL = readFileSync(join(DEMO, "kamado-demo.gguf"));
export const MMPROJ = readFileSync(join(DEMO, "kamado-demo-mmproj.gguf"));
export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

export type Seen = {
  place: "hub" | "store";
  path: string;
  range: string | undefined;
  headers: IncomingMessage["headers"];
};
export type Behaviour = {
  files: Record<string, Buffer>;
  /** The connection is cut after so many bytes of each of these answers, in turn. */
  drops: number[];
  /** Statuses answered in turn before anything else, with headers. */
  statuses: { status: number; headers?: Record<string, string>; body?: string }[];
  /** The same of the hub, for files. */
  hubStatuses: { status: number; body?: string }[];
  ranges: boolean;
  /** Whether If-Range is read; some servers do not. */
  conditions: boolean;
  etag: string | undefined;
  lastModified: string | undefined;
  /** What the hub says that is not so. */
  linkedSha256: ((file: Buffer) => string) | undefined;
  linkedBytes: ((file: Buffer) => number) | undefined;
  /** How long the store says that a file is. */
  total: ((file: Buffer) => number) | undefined;
  contentType: string;
  repository: unknown;
  /** Resolves when the client has written so many bytes of a file: what it has not read yet is lost with a connection. */
  arrived: (bytes: number) => Promise<void>;
  /** Called when an answer has begun, with its place among all. */
  onAnswer: (seen: Seen) => void;
};

export type FileServer = {
  endpoint: string;
  store: string;
  seen: Seen[];
  behaviour: Behaviour;
  close(): Promise<void>;
};

export async function fileServer(): Promise<FileServer> {
  const behaviour: Behaviour = {
    files: { "model.gguf": MODEL, "mmproj-model-f16.gguf": MMPROJ },
    drops: [],
    statuses: [],
    hubStatuses: [],
    ranges: true,
    conditions: true,
    etag: '"one"',
    lastModified: undefined,
    linkedSha256: sha256,
    linkedBytes: (file) => file.length,
    total: undefined,
    contentType: "application/octet-stream",
    repository: undefined,
    arrived: async () => {},
    onAnswer: () => {},
  };
  const seen: Seen[] = [];
  const note = (place: Seen["place"], { url = "", headers }: IncomingMessage) => {
    const one: Seen = { place, path: url, range: headers.range, headers };
    seen.push(one);
    behaviour.onAnswer(one);
  };
  const store = await listening((request, response) => {
    note("store", request);
    answerFile(request, response, behaviour);
  });
  const hub = await listening((request, response) => {
    note("hub", request);
    if (request.url?.startsWith("/api/")) return answerRepository(response, behaviour);
    const next = behaviour.hubStatuses.shift();
    if (next) return void response.writeHead(next.status).end(next.body ?? "");
    const file = behaviour.files[nameIn(request)];
    if (file === undefined) return void response.writeHead(404).end("Entry not found");
    const linked: Record<string, string> = {};
    if (behaviour.linkedSha256) linked["x-linked-etag"] = `"${behaviour.linkedSha256(file)}"`;
    if (behaviour.linkedBytes) linked["x-linked-size"] = String(behaviour.linkedBytes(file));
    response.writeHead(302, { location: `${urlOf(store)}/blobs/${nameIn(request)}?sig=1`, ...linked }).end();
  });
  const close = async () => {
    for (const server of [hub, store]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  };
  return { endpoint: urlOf(hub), store: urlOf(store), seen, behaviour, close };
}

function answerRepository(response: ServerResponse, { repository }: Behaviour): void {
  if (repository === undefined) response.writeHead(404).end("{}");
  else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(repository));
}

function answerFile(request: IncomingMessage, response: ServerResponse, behaviour: Behaviour): void {
  const next = behaviour.statuses.shift();
  if (next) return void response.writeHead(next.status, next.headers).end(next.body ?? "");
  const file = behaviour.files[nameIn(request)];
  if (file === undefined) return void response.writeHead(404).end("not here");
  const { etag, lastModified } = behaviour;
  const headers: Record<string, string> = { "content-type": behaviour.contentType };
  if (etag) headers.etag = etag;
  if (lastModified) headers["last-modified"] = lastModified;
  const total = behaviour.total?.(file) ?? file.length;
  const condition = request.headers["if-range"];
  const isCurrent =
    condition === undefined || !behaviour.conditions || condition === etag || condition === lastModified;
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const hasRange = behaviour.ranges && isCurrent && first !== undefined;
  const from = hasRange ? Number(first) : 0;
  if (hasRange && from >= total)
    return void response.writeHead(416, { "content-range": `bytes */${total}` }).end();
  const end = hasRange && last ? Math.min(Number(last) + 1, total) : total;
  if (hasRange) headers["content-range"] = `bytes ${from}-${end - 1}/${total}`;
  headers["content-length"] = String(end - from);
  response.writeHead(hasRange ? 206 : 200, headers);
  const body = file.subarray(from, end);
  const drop =
    behaviour.drops.length > 0 && body.length > behaviour.drops[0]! ? behaviour.drops.shift() : undefined;
  if (drop === undefined) return void response.end(body);
  response.write(body.subarray(0, drop), async () => {
    await behaviour.arrived(from + drop);
    response.destroy();
  });
}

const nameIn = ({ url = "" }: IncomingMessage) => url.split("?")[0]!.split("/").at(-1)!;
const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function listening(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(handle);
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
