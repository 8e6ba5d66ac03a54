// Keeps one llama-server running: starts it, waits until it serves, starts it again when it ends. Requests it had are lost,
// and say so; this process lives on.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KamadoError } from "../../../errors.ts";
import { argumentsFor, type ServerOptions } from "./arguments.ts";
import { Run, Watcher } from "./run.ts";
import type { Say } from "./said.ts";
import { freePort, greet, type Server } from "./server.ts";
import { isUnheard, unavailable, Wire } from "./wire.ts";

const ASK_MS = 50;
/** Before each start after it ended; when all of these came to nothing it is given up. */
const DELAYS_MS = [0, 200, 400, 800, 1_600, 3_200];
const LOST = "llama-server has ended and is being started again.";
/** How long a request waits for it to be back before it is sent away. */
const PATIENCE_MS = 5_000;

export type KeeperOptions = ServerOptions & {
  command: string;
  log: Say;
  delaysMs?: readonly number[];
  /** Called with each server before any request reaches it. */
  onUp(server: Server): Promise<void>;
  /** It cannot be brought back. */
  onGone(error: KamadoError): void;
};

export class Keeper {
  /** Where it saves prefixes; nobody else may look into it. */
  readonly folder = mkdtempSync(join(tmpdir(), "kamado-llama-server-"));
  restarts = 0;
  readonly #options: KeeperOptions;
  readonly #watcher = new Watcher(this.folder);
  readonly #key = randomBytes(32).toString("hex");
  readonly #keyFile = join(this.folder, "key");
  #server: Server | undefined;
  #up = Promise.withResolvers<void>();
  #closed: Promise<void> | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    writeFileSync(this.#keyFile, this.#key, { mode: 0o600 });
  }

  /** Resolves when it serves; throws why it does not. Called once. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (thrown) {
      await this.close();
      throw thrown;
    }
  }

  /** Throws `engine_unavailable` while there is none. */
  server(): Server {
    if (this.#server === undefined) throw unavailable(LOST);
    return this.#server;
  }

  /** Does it with the server, and once more with the next one if this one turns out to have ended before it began. */
  async use<T>(work: (server: Server) => Promise<T>): Promise<T> {
    const server = await this.#soon();
    try {
      return await work(server);
    } catch (thrown) {
      if (!isUnheard(thrown)) throw thrown;
      // The connection tells it sooner than the process does.
      if (!server.down.aborted)
        await once(server.down, "abort", { signal: AbortSignal.timeout(PATIENCE_MS) });
      return work(await this.#soon());
    }
  }

  /** Waits for one that is being started, though not for long. */
  async #soon(): Promise<Server> {
    if (this.#server === undefined && !this.#closed)
      await Promise.race([this.#up.promise, sleep(PATIENCE_MS, undefined, { ref: false })]);
    return this.server();
  }

  close(): Promise<void> {
    this.#closed ??= this.#watcher.close().then(() => this.#server?.wire.close());
    return this.#closed;
  }

  async #start(): Promise<void> {
    const { command, log } = this.#options;
    const port = await freePort();
    const address = { port, keyFile: this.#keyFile, folder: this.folder };
    const run = new Run(command, argumentsFor(this.#options, address), this.#watcher, log);
    const server = await this.#untilItServes(run, new Wire(port, this.#key));
    run.serves();
    await this.#options.onUp(server);
    if (run.down.aborted) throw ended(run);
    this.#server = server;
    this.#up.resolve();
    run.down.addEventListener("abort", () => void this.#again(run), { once: true });
  }

  async #untilItServes(run: Run, wire: Wire): Promise<Server> {
    for (;;) {
      if (run.down.aborted) throw ended(run);
      const server = await greet(wire, run.down);
      if (server !== undefined) return server;
      await sleep(ASK_MS);
    }
  }

  async #again(run: Run): Promise<void> {
    this.#server?.wire.close();
    this.#server = undefined;
    this.#up = Promise.withResolvers();
    if (this.#closed) return;
    let why = ended(run);
    this.#options.log(why.message, "warn");
    for (const delay of this.#options.delaysMs ?? DELAYS_MS) {
      await sleep(delay);
      if (this.#closed) return;
      this.restarts++;
      try {
        return await this.#start();
      } catch (thrown) {
        why = thrown as KamadoError;
        this.#options.log(why.message, "warn");
      }
    }
    this.#up.resolve();
    if (!this.#closed) this.#options.onGone(why);
  }
}

const ended = (run: Run) => unavailable(`llama-server ended (${run.reason}).`);
