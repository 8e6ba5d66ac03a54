// Stands between the worker and the engine for one run and keeps what the worker asks, so that the bare engine can be
// asked exactly the same.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Agent, request } from "undici";
import type { Call } from "./load.ts";

export type RecordingProxy = { url: string; calls: Call[]; stop(): Promise<void> };

export async function startRecordingProxy(engineUrl: string): Promise<RecordingProxy> {
  const calls: Call[] = [];
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  const server = createServer(async (incoming, outgoing) => {
    const { method = "GET", url: path = "/" } = incoming;
    const body = await text(incoming);
    if (method === "POST") calls.push({ path, body: JSON.parse(body) });
    const headers = { "content-type": "application/json" };
    const answer = await request(engineUrl + path, {
      method,
      headers,
      dispatcher: agent,
      ...(method === "POST" && { body }),
    });
    outgoing.writeHead(answer.statusCode, headers).end(await answer.body.text());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const stop = async () => {
    await new Promise((closed) => {
      server.close(closed);
      server.closeAllConnections();
    });
    await agent.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, stop };
}
