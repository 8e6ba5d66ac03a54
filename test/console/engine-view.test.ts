// What the console learns from an engine: Kamado's own, and servers that say less.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type ChatPart, createEngineView } from "../../worker/console/engine-view.ts";
import { bandwidthOf } from "../../worker/console/memory-bandwidth.ts";
import { start } from "../engine/server/start.ts";

async function partsOf(answer: AsyncIterable<ChatPart>): Promise<ChatPart[]> {
  const parts: ChatPart[] = [];
  for await (const part of answer) parts.push(part);
  return parts;
}
const hi = [{ role: "user" as const, content: "hi" }];

async function server(answer: (path: string) => { status?: number; body: string }): Promise<string> {
  const other = createServer((request, response) => {
    const { status = 200, body } = answer(request.url ?? "");
    response.writeHead(status).end(body);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await once(other, "listening");
  return `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
}

test("of Kamado's own engine it knows slots, context, models and tokens, and streams its answers", async () => {
  const { url } = await start(
    { model: "m", contextSize: 512, rules: [{ answer: "Good morning." }] },
    { slots: 3 },
  );
  const view = createEngineView({ url: `${url}/v1` });
  expect(await view.slots()).toMatchObject({
    slots: [{ state: "idle" }, { state: "idle" }, { state: "idle" }],
    waiting: { count: 0 },
  });
  expect(await view.health()).toMatchObject({ backend: "scripted", slots: { busy: 0, total: 3 } });
  expect([await view.models(), await view.context()]).toEqual([["m"], 512]);
  const { signal } = new AbortController();
  const parts = await partsOf(view.chat(hi, { signal }));
  expect(parts.map((part) => ("text" in part ? part.text : "")).join("")).toBe("Good morning.");
  expect([parts.length > 2, parts.at(-1)]).toEqual([true, { end: "stop" }]);
  expect(await view.totals()).toMatchObject({ generated: expect.any(Number), evaluated: expect.any(Number) });
});

test("who stops a chat stops the answer at the engine", async () => {
  const { url } = await start({ waitMs: 60_000 });
  const view = createEngineView({ url });
  const stop = new AbortController();
  const answer = partsOf(view.chat(hi, { signal: stop.signal }));
  await expect.poll(async () => (await view.health())?.slots.busy).toBe(1);
  stop.abort();
  await expect(answer).rejects.toThrow();
  await expect.poll(async () => (await view.health())?.slots.busy).toBe(0);
});

test.each([
  ["there is none", undefined],
  ["it says something else", "<html>"],
  ["it says less", '{"slots": 3, "data": "none"}'],
])("nothing is known, and nothing fails, where %s", async (_, body) => {
  const url = body === undefined ? "http://127.0.0.1:1" : await server(() => ({ body }));
  const view = createEngineView({ url });
  expect([await view.health(), await view.slots(), await view.models(), await view.context()]).toEqual([
    null,
    null,
    [],
    null,
  ]);
});

test.each([
  [429, "engine_busy"],
  [400, "engine_rejected"],
  [503, "engine_unavailable"],
])("an answer %i of the engine is %s, in its own words", async (status, code) => {
  const url = await server(() => ({ status, body: '{"error": {"message": "Not now."}}' }));
  const answer = partsOf(createEngineView({ url }).chat(hi, { signal: new AbortController().signal }));
  await expect(answer).rejects.toMatchObject({ code, message: "Not now." });
});

test.each([
  ["Apple M4", 120e9],
  ["Apple M4 Pro", 273e9],
  ["Apple M9 Max", null],
  ["AMD EPYC", null],
  [undefined, null],
])("the memory of %s is read at %s bytes a second", (cpu, bandwidth) => {
  expect(bandwidthOf(cpu)).toBe(bandwidth);
});
