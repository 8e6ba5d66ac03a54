// A stub of somebody's todo service on the loopback address: what all of them share. Each follows its service's documentation and refuses
// what the service refuses. A test may let one be down, or lose its answer after it made the change.
import { type Received, startReceiver } from "../../fakes/receiver.ts";

export type Reply = { status: number; headers?: Record<string, string>; body?: unknown };
export type Seen = { id: string; title: string; done: boolean; notes: string[] };

export type Service = {
  /** Its name in the destinations file. */
  name: string;
  token: string;
  handle(request: Received & { url: URL }): Reply | Promise<Reply>;
  /** The address of the entry and of a job, below the stub's own. */
  match?: string;
  at?: string;
  add(title: string, more?: { done?: boolean; note?: string }): string | Promise<string>;
  remove(id: string): unknown;
  finish(id: string): unknown;
  all(): Seen[] | Promise<Seen[]>;
};

export type Stub = Service & {
  url: string;
  received: Received[];
  /** The next requests get this answer, `times` of them. */
  answer(reply: Reply, times?: number): void;
  /** The next request that changes something is carried out, and its answer is lost. */
  loseAnswer(): void;
  close(): Promise<void>;
};

export async function startStub(service: Service): Promise<Stub> {
  let canned: { reply: Reply; left: number } | undefined;
  let isLost = false;
  const receiver = await startReceiver();
  const before = async (request: Received): Promise<Reply> => {
    if (canned && canned.left-- > 0) return canned.reply;
    return service.handle({ ...request, url: new URL(request.path, receiver.url) });
  };
  receiver.respond((request, response) => {
    const count = () => JSON.stringify(service.all());
    const was = count();
    before(request)
      .then(async ({ status, headers, body = "" }) => {
        if (isLost && (service.name === "kamado" ? request.method !== "GET" : count() !== was)) {
          isLost = false;
          return void response.destroy();
        }
        const isText = typeof body === "string";
        const type = isText ? {} : { "content-type": "application/json; charset=utf-8" };
        response.writeHead(status, { ...type, ...headers }).end(isText ? body : JSON.stringify(body));
      })
      .catch((error) => response.writeHead(599).end(String(error?.stack ?? error)));
  });
  return {
    ...service,
    url: receiver.url,
    received: receiver.received,
    answer(reply, times = 1) {
      canned = { reply, left: times };
    },
    loseAnswer() {
      isLost = true;
    },
    close: () => receiver.close(),
  };
}

export const isBearer = ({ headers }: Received, token: string) => headers.authorization === `Bearer ${token}`;

/** Null for what is no JSON, or does not say that it is. */
export function jsonIn({ headers, body }: Received): Record<string, unknown> | null {
  if (!/^application\/json\b/.test(headers["content-type"] ?? "")) return null;
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
