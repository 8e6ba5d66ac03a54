// Another program at an address where a command expects a Kamado: what is said about it.

import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { whoListens, whyNotFree } from "../../worker/http/who-listens.ts";
import { startReceiver } from "../fakes/receiver.ts";

/** A server that is no HTTP server. */
async function listening(onSocket: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    onSocket(socket);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each([
  ["a web server", 200, "<html>Welcome to nginx!</html>", "nginx/1.24", "another HTTP server (nginx/1.24)"],
  ["a web server without a name", 404, '{"detail":"Not Found"}', "", "another HTTP server"],
  ["a server whose health looks nearly like ours", 200, '{"status":"ok"}', "", "another HTTP server"],
  ["a redirection", 302, "", "proxy\u00ff", "another HTTP server (proxy)"],
])("%s is named", async (_, status, body, server, words) => {
  await using page = await startReceiver((_, response) => {
    response.writeHead(status, { ...(server && { server }), location: "http://127.0.0.1:1/" }).end(body);
  });
  expect(await whoListens(page.url)).toEqual({ is: "other", words });
});

test.each([
  [
    "the page of a worker",
    '{"status":"READY","queue":"ok","pid":7}',
    "kamado",
    "the page of another Kamado (process 7)",
  ],
  [
    "the page of a worker, to one without its token",
    '{"status":"BUSY"}',
    "kamado",
    "the page of another Kamado",
  ],
  ["an engine", '{"state":"READY"}', "engine", "the engine of another Kamado"],
])("%s is known", async (_, health, is, words) => {
  await using page = await startReceiver((_, response) => void response.end(health));
  expect(await whoListens(page.url)).toEqual({ is, words });
});

test.each([
  ["says hello first, as SSH does", (socket: Socket) => void socket.write("SSH-2.0-OpenSSH_9.6\r\n")],
  ["hangs up", (socket: Socket) => void socket.end()],
  ["resets", (socket: Socket) => void socket.resetAndDestroy()],
  [
    "answers bytes",
    (socket: Socket) => void socket.on("data", () => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 70]))),
  ],
])("a program that %s speaks no HTTP", async (_, onSocket) => {
  expect(await whoListens(await listening(onSocket))).toEqual({
    is: "other",
    words: "a program that speaks no HTTP",
  });
});

test("a program that takes connections and says nothing is not waited for", async () => {
  const url = await listening(() => {});
  expect(await whoListens(url)).toMatchObject({
    is: "other",
    words: expect.stringContaining("does not answer"),
  });
});

test("nothing is nothing, and a port that is taken by what has gone since is just taken", async () => {
  expect(await whoListens("http://127.0.0.1:1")).toMatchObject({ is: "nothing" });
  expect(await whyNotFree("EADDRINUSE", "http://127.0.0.1:1")).toBe("is taken by another program");
  expect(await whyNotFree("EACCES", "http://127.0.0.1:1")).toBe("cannot be used (EACCES)");
});
