// A way to the AWS that a test can cut and mend, at one address, and that keeps what was asked on it.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type Way = AsyncDisposable & {
  endpoint: string;
  /** Whoever comes is hung up on, and so is who is there. */
  cut(): void;
  mend(): void;
  /** Every byte of every request so far. */
  asked(): string;
};

export async function wayTo(target: string): Promise<Way> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let asked = "";
  let isCut = false;
  // It listens all the time: a port that is given up may be somebody else's before it is wanted again.
  const server = createServer((near) => {
    near.on("error", () => {});
    if (isCut) return void near.resetAndDestroy();
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
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => {
      isCut = false;
    },
    asked: () => asked,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      cut();
      await closed;
    },
  };
}
