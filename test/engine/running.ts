// An engine inside the test's own process: a real port, the real HTTP server and scheduler, any backend.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import OpenAI from "openai";
import { pino } from "pino";
import { openScripted } from "../../worker/engine/backends/scripted/open.ts";
import type { Backend, Generation } from "../../worker/engine/generation/backend.ts";
import { Scheduler } from "../../worker/engine/scheduler/scheduler.ts";
import { createApp } from "../../worker/engine/server/app.ts";
import { MemoryBudget } from "../../worker/engine/server/memory-budget.ts";
import { Metrics } from "../../worker/engine/server/metrics.ts";
import { SERVE_OPTIONS } from "../../worker/http/server-limits.ts";

export type Running = { url: string; scheduler: Scheduler; client: OpenAI; close(): Promise<void> };
type Options = {
  slots?: number;
  maxQueue?: number;
  stallMs?: number;
  repetitionStop?: boolean;
  token?: string;
  budget?: MemoryBudget;
  unreadMs?: number;
  names?: string[];
};

export async function running(open: () => Promise<Backend>, options: Options = {}): Promise<Running> {
  const { slots = 4, maxQueue = 64, stallMs = 300_000, token, budget = new MemoryBudget() } = options;
  const { unreadMs = 30_000, repetitionStop = true, names = [] } = options;
  const metrics = new Metrics();
  const onAnswered: Metrics["answered"] = (...answer) => metrics.answered(...answer);
  const log = pino({ level: "silent" });
  const scheduler = new Scheduler({ slots, maxQueue, stallMs, repetitionStop, onAnswered, log });
  const app = createApp({ scheduler, metrics, log, token, budget, unreadMs, names });
  const server = serve({ ...SERVE_OPTIONS, fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await scheduler.load(open).catch(() => {});
  const close = async () => {
    server.close();
    if ("closeAllConnections" in server) server.closeAllConnections();
    await scheduler.close();
  };
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: token ?? "none", maxRetries: 0 });
  return { url, scheduler, client, close };
}

export function scripted(script: Record<string, unknown> = {}, options: Options = {}): Promise<Running> {
  const { slots = 4 } = options;
  return running(() => openScripted({ script: JSON.stringify(script), slots }), options);
}

/** An engine whose backend answers "ok" and keeps what it was asked for. */
export async function recording(): Promise<Running & { seen: Generation[] }> {
  const seen: Generation[] = [];
  const backend: Backend = {
    info: {
      backend: "scripted",
      model: "recorder",
      contextSize: 100,
      slots: 4,
      images: false,
      thinks: false,
      unsupported: [],
    },
    prepare: async (generation) => {
      seen.push(generation);
      return {
        promptTokens: 1,
        run: async (emit) => {
          emit({ text: "ok" });
          return { finish: "stop", promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
        },
      };
    },
    close: async () => {},
  };
  return { ...(await running(async () => backend)), seen };
}

/** POSTs a body as it stands, for what no client would send. */
export async function post(url: string, body: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

export const user = (content: string) => [{ role: "user" as const, content }];

/** Waits for something to become true, without saying how long it may take. */
export async function until(true_: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await true_())) await new Promise((resolve) => setTimeout(resolve, 10));
}

export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}
