// What is this machine alone, as an address to listen on and as a name it is asked by. Pure.
import { isIP } from "node:net";

/** Whether nobody outside this machine can reach what listens there. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

const CONTAINER_HOST = /^host\.(containers|docker)\.internal$/;

/** Whether no network lies between: this machine, also as its containers call it. */
export const isThisMachine = (host: string): boolean => isLoopback(host) || CONTAINER_HOST.test(host);
