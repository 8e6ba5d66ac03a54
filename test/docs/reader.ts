// Somebody who reads a page from top to bottom and types its commands: a shell with a home folder of its own, in a clone of this repository
// (links to its files, so that what commands write beside them stays apart). The ports that Kamado has by default are other ones here.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, vi } from "vitest";
import { fits, ROOT, type Step } from "./pages.ts";

/** They go on until they are stopped, so the reader types what follows in another terminal. */
const STAYS =
  /(^|[;=]\S* |; )(npm start|npm run todo-service|\.\/kamado (serve|worker|engine(?= --|$)))( |$)/;
export const stays = (command: string) => STAYS.test(command.replace(/ +# .*$/, ""));

const PORTS = {
  "4566": "KAMADO_LOCAL_PORT",
  "4780": "KAMADO_WEB_PORT",
  "4781": "KAMADO_ENGINE_PORT",
  "4790": "",
  "8080": "",
};
/** Not in the clone: what belongs to this checkout alone. */
const APART = new Set([".git", "kamado.toml", ".kamado-installing"]);

/** `npm start` and `./kamado` install anew what is not as package-lock.json says: not below the tests that run. */
export function whyNotHere(): string | null {
  const stamp = join(ROOT, "node_modules/.kamado-lock");
  const lock = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .digest("hex");
  const isCurrent = existsSync(stamp) && readFileSync(stamp, "utf8") === lock;
  return isCurrent ? null : "node_modules is not as package-lock.json says; `npm test` brings it up to date";
}

export const isInstalled = (program: string) =>
  process.env.PATH!.split(":").some((folder) => existsSync(join(folder, program)));

export class Reader {
  readonly home = mkdtempSync(join(tmpdir(), "kamado-reader-"));
  readonly #ports = new Map<string, string>();
  #shell!: ChildProcess;
  #answers!: AsyncIterator<string>;
  #typed = 0;

  static async start(variables: Record<string, string> = {}): Promise<Reader> {
    const reader = new Reader();
    for (const port of Object.keys(PORTS)) reader.#ports.set(port, await freePort());
    reader.#open(variables);
    return reader;
  }

  #open(variables: Record<string, string>): void {
    const clone = join(this.home, "kamado");
    mkdirSync(clone);
    for (const name of readdirSync(ROOT))
      if (!APART.has(name)) symlinkSync(join(ROOT, name), join(clone, name));
    const ports = Object.entries(PORTS).filter(([, name]) => name !== "");
    this.#shell = spawn("bash", ["--noprofile", "--norc"], {
      cwd: clone,
      env: {
        PATH: `${join(this.home, "bin")}:${join(ROOT, "node_modules/.bin")}:${process.env.PATH}`,
        HOME: this.home,
        TMPDIR: process.env.TMPDIR ?? tmpdir(),
        // Where there is none, a terminal of 80 columns.
        COLUMNS: "80",
        KAMADO_POLL_SECONDS: "1",
        AWS_EC2_METADATA_DISABLED: "true",
        npm_config_update_notifier: "false",
        ...Object.fromEntries(ports.map(([port, name]) => [name, this.#ports.get(port)!])),
        ...variables,
      },
      stdio: ["pipe", "pipe", "inherit"],
      // A process group of its own, so that nothing outlives it.
      detached: true,
    });
    // It ends with its input, and so with this process, and takes with it what it started.
    this.#shell.stdin!.write("trap 'kill -KILL 0' EXIT\n");
    this.#answers = createInterface(this.#shell.stdout!)[Symbol.asyncIterator]();
  }

  /** A program that is not on this machine, or that must not be touched by a test. */
  install(name: string, script: string): void {
    mkdirSync(join(this.home, "bin"), { recursive: true });
    writeFileSync(join(this.home, "bin", name), `#!/usr/bin/env bash\n${script}`, { mode: 0o755 });
  }

  /** Types a command, and compares what it says with what the page says. */
  async type({ command, output }: Step): Promise<void> {
    const path = join(this.home, `.typed-${++this.#typed}`);
    const goesOn = stays(command);
    const text = this.#here(command);
    writeFileSync(path, goesOn ? `{ ${text}\n} &\n` : `${text}\n`);
    this.#shell.stdin!.write(`. ${path} >${path}.said 2>&1 </dev/null; echo $?\n`);
    const { value: code } = await this.#answers.next();
    const said = () => readFileSync(`${path}.said`, "utf8");
    const expected = output.map((line) => this.#here(line));
    const isSaid = () => fits(said(), expected);
    const isReady = () => expect(isSaid(), `${text}\n${said()}`).toBe(true);
    if (goesOn) await vi.waitFor(isReady, { timeout: 100_000, interval: 100 });
    else expect({ command: text, code, said: said() }).toMatchObject({ code: "0" });
    if (!goesOn && output.join("") !== "" && !isSaid()) expect(said()).toBe(expected.join("\n"));
  }

  /** The same on the ports of this reader. */
  #here(text: string): string {
    return text.replaceAll(/(?<=127\.0\.0\.1:|--port )\d{4}/g, (port) => this.#ports.get(port) ?? port);
  }

  async stop(): Promise<void> {
    const ended = once(this.#shell, "close");
    process.kill(-this.#shell.pid!, "SIGKILL");
    await ended;
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return String(typeof address === "object" ? address?.port : "");
}
