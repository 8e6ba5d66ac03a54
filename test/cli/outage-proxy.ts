// A way to the AWS that a test can cut and mend, at one address, and that keeps what was asked on it.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export type Way = AsyncDisposable & {
  endpoint: string;
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Every byte of every request so far. */
  asked(): string;
};

export async function wayTo(target: string): Promise<Way> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let own = 0;
  let asked = "";
  let server: Server | undefined;
  const mend = async () => {
    server = createServer((near) => {
      const far = connect(Number(port), "127.0.0.1");
      near.on("data", (bytes) => (asked += bytes.toString("latin1")));
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(one);
        one.on("error", () => {}).on("close", () => sockets.delete(one));
        one.pipe(other);
      }
    }).listen(own, "127.0.0.1");
    await once(server, "listening");
    own = (server.address() as AddressInfo).port;
  };
  const cut = async () => {
    if (!server) return;
    const closed = once(server, "close");
    server.close();
    server = undefined;
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await mend();
  return { endpoint: `http://127.0.0.1:${own}`, cut, mend, asked: () => asked, [Symbol.asyncDispose]: cut };
}
