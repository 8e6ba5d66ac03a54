// Answers that are not quite HTTP, from receivers that did what they were asked to.
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { judgeCallback, sendDelivery } from "../../worker/deliver/http-answer.ts";
import type { KamadoError } from "../../worker/errors.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";

/** Answers each request with these bytes; `closes`: and ends the connection. */
async function wireServer(answer: (socket: Socket) => void) {
  let requests = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      if (!data.toString("latin1").startsWith("POST")) return;
      requests++;
      answer(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const outbound = createOutbound({ destinations: [known(url)] });
  onTestFinished(async () => {
    await outbound.close();
    server.close();
  });
  const deliver = () =>
    sendDelivery(outbound, { method: "POST", url, headers: {}, body: "{}" }, judgeCallback, 0).then(
      () => "taken",
      (error: unknown) => error as KamadoError,
    );
  return { url, outbound, deliver, requests: () => requests };
}

const says = (bytes: string | Buffer, closes = false) =>
  wireServer((socket) => (closes ? socket.end(bytes) : socket.write(bytes)));

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

describe("an answer whose status is clear counts, and nothing is sent twice", () => {
  test.each<[string, string | Buffer]>([
    ["bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"],
    ["both kinds of line ends", "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n{}"],
    ["a 100 that nobody asked for", `HTTP/1.1 100 Continue\r\n\r\n${OK}`],
    ["several of them", `HTTP/1.1 100 Continue\r\nx: y\r\n\r\nHTTP/1.1 100\n\n${OK}`],
    ["early hints", `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`],
    ["the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"],
    ["the same length twice in one line", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    ["a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}"],
    ["an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}"],
    [
      "chunks and a length",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
    ["chunks that are none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"],
    ["no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}"],
    ["an old version", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
    ["a strange version", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
    ["a version without its second number", "HTTP/2 200\r\ncontent-length: 2\r\n\r\n{}"],
    ["small letters", "http/1.1 200 ok\r\ncontent-length: 2\r\n\r\n{}"],
    ["two spaces", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n{}"],
    ["spaces at the ends of lines", "HTTP/1.1 200 OK \r\nContent-Length: 2 \r\n\r\n{}"],
    ["a space before a colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}"],
    ["a header without a colon", "HTTP/1.1 200 OK\r\ngarbage\r\nContent-Length: 2\r\n\r\n{}"],
    ["a header over two lines", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}"],
    [
      "a control character",
      Buffer.from("HTTP/1.1 200 OK\r\nX: caf\xe9\x01\r\nContent-Length: 2\r\n\r\n{}", "latin1"),
    ],
    ["bytes after its body", `${OK}and more`],
    ["empty lines before it", `\r\n\r\n${OK}`],
    ["a body where none may be", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}"],
    [
      "40 KB of headers",
      `HTTP/1.1 200 OK\r\nset-cookie: ${"a".repeat(40_000)}\r\nContent-Length: 2\r\n\r\n{}`,
    ],
    [
      "400 KB of headers",
      `HTTP/1.1 200 OK\r\nset-cookie: ${"a".repeat(400_000)}\r\nContent-Length: 2\r\n\r\n{}`,
    ],
    ["3,000 headers", `HTTP/1.1 200 OK\r\n${"x: 1\r\n".repeat(3_000)}Content-Length: 2\r\n\r\n{}`],
  ])("%s", async (_, bytes) => {
    const receiver = await says(bytes);
    expect(await receiver.deliver()).toBe("taken");
    expect(receiver.requests()).toBe(1);
  });

  test.each([
    ["that ends after its status", "HTTP/1.1 200 OK\r\n"],
    ["that ends in its headers", "HTTP/1.1 202 Accepted\r\nContent-Le"],
    ["that ends in its body", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"],
    ["without any length", "HTTP/1.1 200 OK\n\n{}"],
  ])("one %s", async (_, bytes) => {
    const receiver = await says(bytes, true);
    expect(await receiver.deliver()).toBe("taken");
    expect(receiver.requests()).toBe(1);
  });

  test.each([
    ["pieces", ["HTTP/1.1 100 Cont", "inue\r\nx: y\r\n", "\r\n", OK]],
    [
      "pieces that end in the status",
      ["\r\nHTTP/1", ".1 10", "0 Continue\r\n\r\n", "HTTP/1.1 2", OK.slice(10)],
    ],
    ["single bytes", [...`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100\n\n${OK}`]],
  ])("one that arrives after its 100, in %s", async (_, pieces) => {
    const receiver = await wireServer(async (socket) => {
      socket.setNoDelay();
      // Each piece is a packet of its own once the one before has left.
      for (const piece of pieces) {
        await new Promise((sent) => socket.write(piece, sent));
        await new Promise((turn) => setImmediate(turn));
      }
    });
    expect(await receiver.deliver()).toBe("taken");
  });

  test.each([301, 302, 303, 307, 308])(
    "a redirect by %i is followed by no delivery, and the failure says where to",
    async (status) => {
      const receiver = await says(
        `HTTP/1.1 ${status} Elsewhere\r\nLocation: https://else.example/t0k3n\r\nContent-Length: 0\r\n\r\n`,
      );
      expect(await receiver.deliver()).toMatchObject({
        code: "delivery_failed",
        message: `127.0.0.1 answered ${status}, a redirect to else.example, which a delivery does not follow.`,
      });
      expect(receiver.requests()).toBe(1);
    },
  );

  test("of several on one connection each stands for itself", async () => {
    const answers = [OK, "HTTP/1.1 503 Later\nRetry-After: 7\n\n", OK, "HTTP/1.1 410 Gone\nx\n\n"];
    const receiver = await wireServer((socket) => socket.write(answers.shift()!));
    expect(await receiver.deliver()).toBe("taken");
    expect(await receiver.deliver()).toMatchObject({
      code: "delivery_failed",
      detail: { httpStatus: 503, retryAfterMs: 7_000 },
    });
    expect(await receiver.deliver()).toBe("taken");
    expect(await receiver.deliver()).toMatchObject({
      code: "delivery_rejected",
      detail: { httpStatus: 410 },
    });
    expect(receiver.requests()).toBe(4);
  });

  test("what it says is kept for the log, as of any other", async () => {
    const receiver = await says("HTTP/1.1 422 No\nContent-Type: text/plain\n\nno such hook");
    expect(await receiver.deliver()).toMatchObject({ detail: { receiverSaid: "no such hook" } });
  });
});

describe("an answer without a clear status is a failure that says in words what is wrong", () => {
  test.each<[string | Buffer, string]>([
    ["<html>200 OK</html>", "the answer is not HTTP"],
    ["HTTP/1.1 2000 OK\r\n\r\n", "the answer is not HTTP"],
    ["HTTP/1.1 OK\r\n\r\n", "the answer is not HTTP"],
    ["ICY 200 OK\r\n\r\n", "the answer is not HTTP"],
    [Buffer.from([0x15, 3, 1, 0, 2, 2, 10]), "it speaks TLS: the address should begin with https://"],
    [
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
      "it answered 101 and nothing after it",
    ],
    ["HTTP/1.1 100 Continue\r\n", "it answered 100 and nothing after it"],
    ["", "the connection was closed in the middle"],
  ])("%j", async (bytes, why) => {
    const receiver = await says(bytes, true);
    expect(await receiver.deliver()).toMatchObject({
      code: "delivery_failed",
      message: `127.0.0.1: ${why}.`,
    });
    expect(receiver.requests()).toBe(1);
  });

  test.each([
    [
      "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
      "the answer is not valid HTTP (Missing expected CR after response line)",
    ],
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
      "the answer says twice how long it is",
    ],
    [`HTTP/1.1 200 OK\r\nx: ${"a".repeat(400_000)}\r\n\r\n`, "the answer's headers are too long"],
  ])("one whose body is wanted says so too: %#", async (bytes, why) => {
    const { outbound, url } = await says(bytes);
    const asked = outbound.send({ method: "POST", url });
    await expect(asked).rejects.toMatchObject({ code: "fetch_failed", message: `127.0.0.1: ${why}.` });
  });
});
