// Whether a receiver can be reached, under the rules of every request, without sending it anything.
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { tryConnection } from "../../worker/outbound/try-connection.ts";

async function listening(): Promise<{ port: number; heard: string[]; gone: Promise<unknown> }> {
  const heard: string[] = [];
  const gone = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket
      .on("data", (data) => heard.push(String(data)))
      .on("error", () => {})
      .on("close", () => gone.resolve());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, heard, gone: gone.promise };
}

test("a receiver that takes connections is reached, hears nothing, and is left at once", async () => {
  const { port, heard, gone } = await listening();
  const resolve = async () => [{ address: "127.0.0.1", family: 4 }];
  expect(await tryConnection(`http://127.0.0.1:${port}/hook`, { allowPrivate: true })).toBeNull();
  await gone;
  expect(await tryConnection(`http://todo.home:${port}/`, { allowPrivate: true, resolve })).toBeNull();
  expect(heard).toEqual([]);
});

test("a private address is refused where it is not allowed, by its number and behind a name", async () => {
  const { port } = await listening();
  const resolve = async () => [{ address: "127.0.0.1", family: 4 }];
  for (const address of [`http://127.0.0.1:${port}/`, `http://rebind.example:${port}/`])
    expect(await tryConnection(address, { allowPrivate: false, resolve })).toMatchObject({
      code: "address_refused",
    });
});

test("what does not speak TLS is told", async () => {
  const server = createServer(
    (socket) => void socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  expect(await tryConnection(`https://127.0.0.1:${port}/`, { allowPrivate: true })).toMatchObject({
    code: "fetch_failed",
    message: expect.stringContaining("does not speak TLS"),
  });
});
