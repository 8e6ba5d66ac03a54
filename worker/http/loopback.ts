// Which host names and addresses mean this machine. Pure.
import { isIP } from "node:net";

/** Whether only this machine can reach a server that listens on `host`. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/** What containers call the machine they run on. */
const CONTAINER_HOST = /^host\.(containers|docker)\.internal$/;

/** Whether no network lies between us and `host`: it is this machine, or the machine this container runs on. */
export const isThisMachine = (host: string): boolean => isLoopback(host) || CONTAINER_HOST.test(host);
