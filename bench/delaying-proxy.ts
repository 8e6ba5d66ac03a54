// A network that is far away: passes bytes on, in order, half a round trip later each way.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Resolves with its address. It lives as long as the process. */
export async function startDelayingProxy(target: string, roundTripMs: number): Promise<string> {
  const { hostname, port } = new URL(target);
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: hostname, port: Number(port), noDelay: true });
    passOn(near, far, roundTripMs / 2);
    passOn(far, near, roundTripMs / 2);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function passOn(from: Socket, to: Socket, delayMs: number): void {
  const later = (act: () => void) => (delayMs === 0 ? act() : setTimeout(act, delayMs));
  from.on("data", (bytes) => later(() => to.writable && to.write(bytes)));
  from.on("close", () => later(() => to.destroy()));
  from.on("error", () => {});
}
