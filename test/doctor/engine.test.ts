// Whether the engine answers and its model says a token.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type EngineAt, engineFinding } from "../../worker/doctor/engine.ts";

type Answers = { health?: number; chat?: [number, unknown] | "hang" };

async function engineAt({
  health = 200,
  chat = [200, SAID],
}: Answers): Promise<EngineAt & { bodies: string[] }> {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const answer = (status: number, value: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (request.url === "/health") return answer(health, {});
    if (request.url === "/v1/models") return answer(200, { data: [{ id: "gemma", owned_by: "kamado" }] });
    bodies.push(body);
    if (chat !== "hang") answer(...chat);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, token: undefined, model: undefined, todo: "Start it.", bodies };
}

const SAID = {
  model: "gemma",
  choices: [{ message: { role: "assistant", content: "O" }, finish_reason: "length" }],
  usage: { prompt_tokens: 5, completion_tokens: 1 },
};

test("an engine whose model says a token is well, and is asked for one token only", async () => {
  const at = await engineAt({});
  expect(await engineFinding(at)).toMatchObject({
    status: "ok",
    found: expect.stringMatching(/^gemma said a token within \d+ ms, at http/),
  });
  expect(at.bodies.map((body) => JSON.parse(body).max_tokens)).toEqual([1]);
});

test("one that is stopped, that loads, that refuses and that is silent are told apart", async () => {
  const stopped = { url: "http://127.0.0.1:1", token: undefined, model: undefined, todo: "Start it." };
  expect(await engineFinding(stopped)).toMatchObject({
    status: "fail",
    found: expect.stringMatching(/^does not answer at http:\/\/127\.0\.0\.1:1: /),
    todo: "Start it.",
  });
  expect(await engineFinding(await engineAt({ health: 503 }))).toMatchObject({
    status: "warn",
    found: expect.stringContaining("loads its model"),
  });
  const broken = await engineAt({ chat: [500, { error: { message: "Metal: out of memory" } }] });
  expect(await engineFinding(broken)).toMatchObject({
    status: "fail",
    found: expect.stringContaining("out of memory"),
  });
  expect(await engineFinding(await engineAt({ chat: "hang" }), 100)).toMatchObject({
    status: "warn",
    found: expect.stringContaining("no token within 0.1 s"),
  });
});

test("a token that is missing fails for an engine that jobs would use so, and not for that of a worker that has it", async () => {
  const at = await engineAt({ chat: [401, { error: { message: "no token" } }] });
  const todo = expect.stringContaining("KAMADO_ENGINE_TOKEN");
  expect(await engineFinding(at)).toMatchObject({ status: "fail", todo });
  expect(await engineFinding({ ...at, isOfWorker: true })).toMatchObject({ status: "warn", todo });
});

test("an engine that is full is not called broken", async () => {
  const at = await engineAt({ chat: [429, { error: { message: "queue is full" } }] });
  expect(await engineFinding(at)).toMatchObject({
    status: "warn",
    found: expect.stringContaining("no room"),
  });
});

test("why a worker's own engine is not ready is said in its words", async () => {
  const trouble = { code: "memory_insufficient", message: "It needs 9 GiB.", hint: "Use a smaller model." };
  const at = { ...(await engineAt({ health: 503 })), trouble };
  expect(await engineFinding(at)).toEqual({
    check: "engine",
    status: "fail",
    found: "memory_insufficient: It needs 9 GiB.",
    todo: "Use a smaller model.",
  });
});
