// Keeps the processes that decode pictures: at most one for each turn, started when a picture needs it and used again by the
// next. One that takes too long, or whose picture nobody wants any more, is killed; one that has been idle for some minutes too.
// What a process does with a picture is decoder-main.ts, which also limits its memory and ends it when this process is gone.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Semaphore } from "../async/semaphore.ts";
import type { SafeImage } from "../job/handler.ts";
import type { PictureFormat } from "./format.ts";

export type DecodeLimits = {
  maxPixels: number;
  maxEdge: number;
  maxMemoryBytes: number;
  cpuSeconds: number;
  /** By the clock: for a process that hangs, or has hardly any CPU. */
  seconds: number;
};
export type Picture = { bytes: Uint8Array; format: PictureFormat; limits: DecodeLimits };
export type Decoded = { image: SafeImage } | { tooLarge: string } | { looksLike: string; cause: string };
/** What a process reports. `memoryBytes` is what it still holds afterwards. */
type DecodedReport = { is: "decoded"; decoded: Decoded; memoryBytes: number };
export type Report = { is: "begun" | "too_much_cpu" } | DecodedReport;
/** Its process ended. `unbegun`: before it looked at the picture, which is then not why. */
export type NotDecoded = {
  is: "unbegun" | "too_slow" | "too_much_cpu" | "too_much_memory" | "crashed";
  how: string;
};
export type Ending = DecodedReport | NotDecoded;

const MAIN = fileURLToPath(new URL("./decoder-main.ts", import.meta.url));
const AT_ONCE = 2;
/** How long a process may take before it begins with its picture. */
const START_MS = 30_000;
const IDLE_MS = 180_000;
/** What a process may keep for the next picture: its code takes about 100 MB. */
const MAX_KEPT_BYTES = 300_000_000;
// Nothing of this process's environment. libvips would write large pictures to the disk, past the limit of memory.
const ENVIRONMENT = { VIPS_DISC_THRESHOLD: "100g" };

export class Decoders {
  readonly #turns: Semaphore;
  readonly #idle: DecoderProcess[] = [];
  readonly #kept: Kept;

  constructor({ atOnce = AT_ONCE, idleMs = IDLE_MS, maxKeptBytes = MAX_KEPT_BYTES } = {}) {
    this.#turns = new Semaphore(atOnce);
    this.#kept = { idleMs, maxKeptBytes };
  }

  /** Throws the signal's reason as soon as it fires. */
  decode(picture: Picture, signal?: AbortSignal): Promise<Ending> {
    return this.#turns.take(async () => {
      const idle = this.#idle.pop();
      const ending = idle && (await this.#decodeIn(idle, picture, signal));
      // An idle process may have been killed meanwhile.
      if (ending !== undefined && ending.is !== "unbegun") return ending;
      return this.#decodeIn(new DecoderProcess(this.#kept), picture, signal);
    }, signal);
  }

  async #decodeIn(decoder: DecoderProcess, picture: Picture, signal?: AbortSignal): Promise<Ending> {
    const ending = await decoder.decode(picture, signal);
    if (decoder.isReady) this.#idle.push(decoder);
    return ending;
  }
}

/** For how long an idle process is kept, and with how much memory. */
type Kept = { idleMs: number; maxKeptBytes: number };

class DecoderProcess {
  readonly #child: ChildProcess;
  readonly #kept: Kept;
  #idleTimer: NodeJS.Timeout | undefined;
  /** How it ended: a signal or an exit code. */
  #end: string | undefined;
  #onEnd: (how: string) => void = () => {};

  constructor(kept: Kept) {
    this.#kept = kept;
    this.#child = spawn(process.execPath, [MAIN], {
      // Libraries print complaints about pictures; the errors that they throw say the same.
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      serialization: "advanced",
      detached: true,
      env: ENVIRONMENT,
    });
    const onEnd = (how: string) => {
      this.#end = how;
      this.#onEnd(how);
    };
    this.#child.once("exit", (code, signal) => onEnd(signal ?? `exit code ${code}`));
    // Also comes when a signal could not be sent. A process that has a pid was started and has not ended.
    this.#child.on("error", ({ message }) => this.#child.pid === undefined && onEnd(message));
  }

  /** Whether it can take another picture. */
  get isReady(): boolean {
    return this.#end === undefined && !this.#child.killed;
  }

  async decode(picture: Picture, signal: AbortSignal | undefined): Promise<Ending> {
    signal?.throwIfAborted();
    const kill = () => this.#kill();
    signal?.addEventListener("abort", kill, { once: true });
    this.#keepAwake();
    try {
      const ending = await this.#run(picture);
      signal?.throwIfAborted();
      return ending;
    } finally {
      signal?.removeEventListener("abort", kill);
      this.#mayRest();
    }
  }

  async #run(picture: Picture): Promise<Ending> {
    if (this.#end !== undefined) return { is: "unbegun", how: this.#end };
    const { promise, resolve } = Promise.withResolvers<Ending>();
    let whenEnded: (how: string) => NotDecoded["is"] = () => "unbegun";
    const kill = (why: NotDecoded["is"]) => {
      whenEnded = () => why;
      this.#kill();
    };
    let limit = setTimeout(kill, START_MS, "unbegun");
    const onReport = (report: Report) => {
      if (report.is === "decoded") return resolve(report);
      if (report.is === "too_much_cpu") return kill(report.is);
      whenEnded = nameEnd;
      clearTimeout(limit);
      limit = setTimeout(kill, picture.limits.seconds * 1_000, "too_slow");
    };
    this.#onEnd = (how) => resolve({ is: whenEnded(how), how });
    this.#child.on("message", onReport);
    this.#child.send(picture, () => {});
    const ending = await promise;
    clearTimeout(limit);
    this.#child.off("message", onReport);
    this.#onEnd = () => {};
    if (ending.is === "decoded" && ending.memoryBytes > this.#kept.maxKeptBytes) this.#kill();
    return ending;
  }

  #kill(): void {
    this.#child.kill("SIGKILL");
  }

  #keepAwake(): void {
    clearTimeout(this.#idleTimer);
    this.#child.ref();
    this.#child.channel?.ref();
  }

  /** An idle process does not keep this one alive, and does not stay for long. */
  #mayRest(): void {
    if (!this.isReady) return;
    this.#child.unref();
    this.#child.channel?.unref();
    this.#idleTimer = setTimeout(() => this.#kill(), this.#kept.idleMs).unref();
  }
}

/** It kills itself when its memory is over the limit; a system without memory does the same to it. */
const nameEnd = (how: string) => (how === "SIGKILL" ? "too_much_memory" : "crashed");
