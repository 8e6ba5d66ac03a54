// The Model Context Protocol over HTTP, by its own SDK. Each request has a server of its own and there are no sessions: a client goes on after
// the worker was started again, and one that goes away leaves nothing behind. A client that opens a stream (GET) hears there when the kinds have
// changed. Loaded by mcp.ts with the first request, because the SDK takes time and memory.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import {
  CallToolRequestSchema,
  ListToolsRequestSchema,
  type ServerNotification,
  type ServerRequest,
} from "@modelcontextprotocol/sdk/types.js";
import type { Visitor } from "../access/access.ts";
import type { Calls } from "./calls.ts";
import type { InHand } from "./follow-jobs.ts";

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));

const INSTRUCTIONS =
  "Kamado runs one-shot jobs on a local model: one tool for each kind of job. A tool waits for its job; if the answer's status is queued or running, call job_result with its id. For many or long jobs use start_job, then job_result.";

/** A picture of a phone in base64. Bytes. */
const MAX_REQUEST = 16 * 1024 * 1024;
/** Clients that wait to hear of changes. */
const MOST_STREAMS = 32;

export type Protocol = {
  answer(request: Request, visitor: Visitor): Promise<Response>;
  /** Tells every client with an open stream. */
  kindsChanged(): void;
  /** How many streams are open. */
  streams(): number;
};

export function createProtocol(calls: Calls): Protocol {
  const streams = new Set<Server>();

  async function answer(request: Request, visitor: Visitor): Promise<Response> {
    const isStream = request.method === "GET";
    if (isStream && streams.size >= MOST_STREAMS) return tooMany();
    const server = newServer(calls, visitor);
    const transport = new WebStandardStreamableHTTPServerTransport({ maxRequestBodySize: MAX_REQUEST });
    await server.connect(transport as Parameters<typeof server.connect>[0]);
    // Whoever goes away no longer waits: that ends his calls, and not the jobs.
    const close = () => void server.close().catch(() => {});
    request.signal.addEventListener("abort", close, { once: true });
    const response = await transport.handleRequest(request);
    if (isStream && response.ok) {
      streams.add(server);
      server.onclose = () => streams.delete(server);
      if (request.signal.aborted) close();
    }
    return response;
  }

  return {
    answer,
    streams: () => streams.size,
    kindsChanged() {
      for (const server of streams) void server.sendToolListChanged().catch(() => {});
    },
  };
}

/**
 * Of answers that a user gives to a server's question. None is asked here, and the SDK's own validator would be made anew for each request,
 * which costs most of its time and memory.
 */
const NO_VALIDATOR = {
  getValidator(): never {
    throw new Error("this server asks its users nothing");
  },
};

function newServer(calls: Calls, visitor: Visitor): Server {
  const server = new Server(
    { name: "kamado", title: "Kamado", version },
    {
      capabilities: { tools: { listChanged: true } },
      instructions: INSTRUCTIONS,
      jsonSchemaValidator: NO_VALIDATOR,
    },
  );
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: calls.tools(visitor) }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) =>
    calls.call(params.name, params.arguments, {
      visitor,
      signal: extra.signal,
      onChange: progressTo(extra),
    }),
  );
  return server;
}

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** What counts as done when a job has only been received, or has only begun. */
const RECEIVED = 0.01;
const STARTED = 0.02;

/** Each must be more than the one before. A job that is tried again begins anew, which is not told. */
function progressTo({ _meta, sendNotification }: Extra): ((now: InHand) => void) | undefined {
  const progressToken = _meta?.progressToken;
  if (progressToken === undefined) return undefined;
  let told = 0;
  return ({ status, progress }) => {
    const { done, what } = progress ?? { done: 0 };
    const now = status === "queued" ? RECEIVED : STARTED + (1 - STARTED) * done;
    if (now <= told) return;
    told = now;
    const message = what ?? (status === "queued" ? "waits for a slot" : "runs");
    const params = { progressToken, progress: now, total: 1, message };
    void sendNotification({ method: "notifications/progress", params }).catch(() => {});
  };
}

function tooMany(): Response {
  const error = { code: -32_000, message: `${MOST_STREAMS} clients listen already. Calls work without it.` };
  return Response.json(
    { jsonrpc: "2.0", error, id: null },
    { status: 429, headers: { "retry-after": "60" } },
  );
}
