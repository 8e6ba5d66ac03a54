import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import {
  Client,
  freePort,
  stepsIn,
  wasNotReceived,
} from "../../../../worker/engine/backends/llama-server/client.ts";

test("the steps of llama-server are counted from its metrics", () => {
  expect(stepsIn("# HELP\nllamacpp:n_decode_total 41\nllamacpp:x 2")).toBe(41);
  expect(stepsIn("nothing")).toBeUndefined();
});

describe("when llama-server ends", () => {
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });
  const signal = new AbortController().signal;
  const thrownBy = (work: Promise<unknown>) =>
    work.then(
      () => expect.unreachable("it was answered"),
      (thrown: unknown) => thrown,
    );

  async function clientOf(server: Server): Promise<Client> {
    await once(server.listen(0, "127.0.0.1"), "listening");
    const client = new Client((server.address() as AddressInfo).port, "key");
    closers.push(
      () => client.close(),
      () => server.close(),
    );
    return client;
  }

  /** Ends its connection, as its death would, after it has read the whole request. */
  const dying = (answer: (response: ServerResponse) => void) =>
    createServer(async (request: IncomingMessage, response) => {
      for await (const _ of request);
      answer(response);
      request.socket.destroy();
    });

  test.each([
    ["evaluates a prompt without a stream", (client: Client) => client.post("/completion", { prompt: [1] })],
    [
      "saves what it evaluated",
      (client: Client) => client.post("/slots/0?action=save", { filename: "f" }, signal),
    ],
    [
      "has not begun its stream",
      (client: Client) => client.stream("/completion", { prompt: [1] }, signal).next(),
    ],
  ])("while it %s, that request may be the cause, and is not sent again", async (_, ask) => {
    const thrown = await thrownBy(ask(await clientOf(dying(() => {}))));
    expect(thrown).toMatchObject({ code: "engine_died" });
    expect(wasNotReceived(thrown)).toBe(false);
  });

  test("a picture that it had not received whole is not the cause", async () => {
    const server = createTcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const thrown = await thrownBy(
      (await clientOf(server)).post("/completion", { image: "x".repeat(2 ** 26) }),
    );
    expect(thrown).toMatchObject({ code: "engine_unavailable" });
    expect(wasNotReceived(thrown)).toBe(true);
  });

  test("a request that comes later is not the cause", async () => {
    const thrown = await thrownBy(new Client(await freePort(), "key").post("/completion", {}));
    expect(wasNotReceived(thrown)).toBe(true);
  });

  test("a client that goes away first gets its own reason", async () => {
    const gone = new AbortController();
    const client = await clientOf(createServer(() => gone.abort(new Error("gone"))));
    expect(await thrownBy(client.post("/completion", {}, gone.signal))).toMatchObject({ message: "gone" });
  });
});
