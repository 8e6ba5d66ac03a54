// The test's end of child.ts: asks, hears answers, and knows when the process died.
import { type ChildProcess, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import type { OpenOptions } from "../../../../../worker/engine/backends/llama-node/open.ts";
import {
  type BackendInfo,
  type BackendState,
  type Generation,
  GREEDY,
  type Message,
  type Outcome,
  type Part,
  type Sampling,
  type Token,
} from "../../../../../worker/engine/generation/backend.ts";

export type Ask = {
  id: number;
  what: Generation | "info" | "state" | "memory" | "close";
  /** after so many tokens no more are wanted */
  most?: number;
};
export type Answer = Outcome & { tokens: Token[]; warm: number; cpuMs: number };
type Reply = { id: number; value?: unknown; error?: { code: string; message: string; detail?: object } };

export class NativeBackend {
  readonly child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #ids = 1;

  private constructor(options: OpenOptions) {
    const file = fileURLToPath(new URL("./child.ts", import.meta.url));
    const args = [JSON.stringify(options)];
    this.child = fork(file, args, {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      serialization: "advanced",
    });
    this.child.on("message", (reply) => this.#onReply(reply as Reply));
    this.child.on("exit", (code, signal) => {
      const died = new Error(`the engine's process ended: ${signal ?? code}`);
      for (const { reject } of this.#waiting.values()) reject(died);
    });
  }

  static async open(options: OpenOptions): Promise<NativeBackend> {
    const backend = new NativeBackend(options);
    await backend.#wait(0);
    return backend;
  }

  info = () => this.#ask("info") as Promise<BackendInfo>;
  state = () => this.#ask("state") as Promise<BackendState>;
  memory = () => this.#ask("memory") as Promise<number>;

  run(
    generation: Generation,
    { signal, most }: { signal?: AbortSignal; most?: number } = {},
  ): Promise<Answer> {
    const answer = this.#ask(generation, most);
    const id = this.#ids - 1;
    signal?.addEventListener("abort", () => this.child.send({ abort: id }), { once: true });
    return answer as Promise<Answer>;
  }

  async close(): Promise<void> {
    await this.#ask("close");
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.disconnect();
    await gone;
  }

  async kill(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await gone;
  }

  #ask(what: Ask["what"], most?: number): Promise<unknown> {
    const id = this.#ids++;
    const ask: Ask = most === undefined ? { id, what } : { id, what, most };
    this.child.send(ask);
    return this.#wait(id);
  }

  #wait(id: number): Promise<unknown> {
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    return waiting.promise.finally(() => this.#waiting.delete(id));
  }

  #onReply({ id, value, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    if (error) waiting?.reject(Object.assign(new Error(error.message), error));
    else waiting?.resolve(value);
  }
}

export type Wanted = Partial<Omit<Generation, "sampling">> & { sampling?: Partial<Sampling> };

/** A greedy request of a few tokens. */
export function generation(prompt: Generation["prompt"], { sampling, ...more }: Wanted = {}): Generation {
  return {
    prompt,
    maxTokens: 8,
    stop: [],
    schema: undefined,
    topLogprobs: undefined,
    conversation: undefined,
    ...more,
    sampling: { ...GREEDY, ...sampling },
  };
}

export const conversation = (...messages: Message[]): Generation["prompt"] => ({ messages, thinking: "off" });
export const says = (role: Message["role"], ...parts: (Part | string)[]): Message => ({
  role,
  parts: parts.map((part) => (typeof part === "string" ? { type: "text", text: part } : part)),
});

export async function picture(background: string, width = 32, height = width): Promise<Part> {
  const image = sharp({ create: { width, height, channels: 3, background } });
  const data = await image.png().toBuffer();
  const sha256 = createHash("sha256").update(data).digest("hex");
  const dataUri = `data:image/png;base64,${data.toString("base64")}`;
  return { type: "image", image: { dataUri, width, height, sha256 } };
}

export const textOf = ({ tokens }: Answer) => tokens.map(({ text }) => text).join("");
