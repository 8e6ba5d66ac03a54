import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import todoMatch from "../../handlers/todo-match.ts";
import { createRest } from "../../worker/deliver/rest.ts";
import { defineHandler, type Handler, type RestRequest } from "../../worker/job/handler.ts";
import { keepMaker } from "../../worker/job/registry.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createOutbound, type Outbound } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";
import { type Receiver, startReceiver, status } from "../fakes/receiver.ts";
import { delivery, errorOf, FAILED, type Given } from "./deliveries.ts";

let receiver: Receiver;
let outbound: Outbound;
let base: string;
beforeEach(async () => {
  receiver = await startReceiver();
  outbound = createOutbound({ destinations: [known(receiver.url)] });
  base = `${receiver.url}/todos`;
});
afterEach(async () => {
  await receiver.close();
  await outbound.close();
});

const calling = (call: RestRequest | null | (() => never)): Handler =>
  defineHandler({
    kind: "test.call",
    summary: "Makes the call a test wants.",
    input: z.unknown(),
    output: z.unknown(),
    run: async () => null,
    request: () => (typeof call === "function" ? call() : call),
  }) as unknown as Handler;
const { request: _, ...callless } = calling(null);

async function carryOut(handler: unknown, given: Given): Promise<void> {
  const { kind } = handler as Handler;
  const registry = new Map([[kind, handler as Handler]]);
  const clock = { wall: Date.now };
  const rest = createRest({ outbound, registry, log: silentLog, clock, destinations: [] });
  await rest(delivery({ rest: base }, { ...given, kind }), base)?.();
}
const match = (output: unknown, id = "j1") =>
  carryOut(todoMatch, { id, input: { text: "  牛乳を買った ", todos: [] }, result: { output } });

describe("todo.match", () => {
  test("patches the matching todo, with the sentence as the handler got it", async () => {
    await match({ action: "update", todoId: "7", title: "Buy milk", probability: 0.9 });
    expect(receiver.received[0]).toMatchObject({
      method: "PATCH",
      path: "/todos/7",
      headers: { "content-type": "application/json" },
    });
    expect(JSON.parse(receiver.received[0]!.body)).toEqual({ note: "牛乳を買った" });
  });

  test("gives its handler the input as the run had it, whatever serializer wrote it", async () => {
    const input = JSON.stringify({ text: " milk ", todos: [], todosUrl: null });
    const output = { action: "update", todoId: "7", title: "Buy milk", probability: 0.9 };
    await carryOut(todoMatch, { id: "j1", input, result: { output } });
    expect(JSON.parse(receiver.received[0]!.body)).toEqual({ note: "milk" });
  });

  test("posts a new one", async () => {
    await match({ action: "create", title: "牛乳を買う", probability: 1 });
    expect(receiver.received[0]).toMatchObject({ method: "POST", path: "/todos" });
  });

  test("does nothing when it is uncertain", async () => {
    await match({ action: "uncertain", title: "?", probability: 0.4 });
    expect(receiver.received).toEqual([]);
  });

  test("every try has the same idempotency key; another job has another one", async () => {
    const output = { action: "create", title: "x", probability: 1 };
    for (const id of ["j1", "j1", "j2"]) await match(output, id);
    const [first, again, other] = receiver.received.map(({ headers }) => headers["idempotency-key"]);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  test.each(["..", "../users/1", "..%2fusers", "1/../../users"])(
    "a todo named %s stays a todo or is refused",
    async (todoId) => {
      const sent = match({ action: "update", todoId, title: "x", probability: 1 });
      await sent.catch((error) => expect(error).toMatchObject({ code: "address_refused", retry: false }));
      for (const { path } of receiver.received) expect(path).toMatch(/^\/todos\/[^/]+$/);
    },
  );
});

describe("for every handler", () => {
  const post = () => calling({ method: "POST", url: base, body: {} });

  test("the call is formed by the code that made the output, although the kind has other code by then", async () => {
    const output = { from: "old" };
    keepMaker(output, calling({ method: "POST", url: `${base}/old` }));
    await carryOut(calling({ method: "POST", url: `${base}/new` }), { result: { output } });
    await carryOut(calling({ method: "POST", url: `${base}/new` }), { result: { output: { ...output } } });
    expect(receiver.received.map(({ path }) => path)).toEqual(["/todos/old", "/todos/new"]);
  });

  test("a failed result makes no call", async () => {
    await carryOut(post(), { result: FAILED });
    expect(receiver.received).toEqual([]);
  });

  test("one without `request` is refused with its name", async () => {
    expect(await errorOf(carryOut(callless, {}))).toMatchObject({
      code: "no_request",
      message: expect.stringContaining("test.call"),
    });
  });

  test.each(["https://evil.example/todos", "/todos", "http://127.0.0.1:1/todos", ""])(
    "a call to %j is refused",
    async (url) => {
      expect((await errorOf(carryOut(calling({ method: "POST", url }), {}))).code).toBe("address_refused");
      expect(receiver.received).toEqual([]);
    },
  );

  test("a call that cannot be formed is refused for good", async () => {
    const broken = calling(() => {
      throw new TypeError("todoId is undefined");
    });
    expect((await errorOf(carryOut(broken, {}))).code).toBe("delivery_rejected");
  });

  test("an output that is too long for the delivery is refused", async () => {
    const result = { output: undefined, outputRef: "s3://kamado/results/j1.json" };
    expect((await errorOf(carryOut(post(), { result }))).code).toBe("delivery_rejected");
  });

  test("a call without a body has no content-type", async () => {
    await carryOut(calling({ method: "DELETE", url: `${base}/1` }), {});
    expect(receiver.received[0]).toMatchObject({ method: "DELETE", body: "" });
    expect(receiver.received[0]!.headers).not.toHaveProperty("content-type");
  });

  test.each([
    [422, "delivery_rejected"],
    [302, "delivery_rejected"],
    [409, "delivery_failed"],
    [500, "delivery_failed"],
  ])("%i is %s", async (code, expected) => {
    receiver.respond(status(code, { location: "/x" }));
    expect((await errorOf(carryOut(post(), {}))).code).toBe(expected);
    expect(receiver.received).toHaveLength(1);
  });
});

test.each([
  ["an item", "/todos/7", true],
  ["the address that the job names", "/todos", undefined],
  ["that address, spelled with a slash", "/todos/?page=1", undefined],
])("a refusal of %s says whether it is about an item only", async (_, path, isOfItem) => {
  receiver.respond(status(410));
  const call: RestRequest = { method: "POST", url: `${receiver.url}${path}`, body: {} };
  const error = await errorOf(carryOut(calling(call), {}));
  expect([error.detail?.httpStatus, error.detail?.isOfItem]).toEqual([410, isOfItem]);
});
