// A llama.node backend in a process of its own, which a test talks to: what it promises is that this process lives on.

import { type OpenOptions, openLlamaNode } from "../../../../../worker/engine/backends/llama-node/open.ts";
import type { Emit, Generation, Token } from "../../../../../worker/engine/generation/backend.ts";
import { toKamadoError } from "../../../../../worker/errors.ts";
import type { Answer, Ask } from "./llama-node.ts";

const backend = await openLlamaNode(JSON.parse(process.argv[2]!) as OpenOptions);
const running = new Map<number, AbortController>();

async function answer(generation: Generation, most: number, signal: AbortSignal): Promise<Answer> {
  const { promptTokens, warmTokens, run } = await backend.prepare(generation);
  const warm = warmTokens?.() ?? 0;
  const tokens: Token[] = [];
  const emit: Emit = (token) => tokens.push(token) < most;
  const began = process.cpuUsage();
  const outcome = await run(emit, signal);
  const { user, system } = process.cpuUsage(began);
  return { ...outcome, promptTokens, warm, tokens, cpuMs: (user + system) / 1_000 };
}

const METHODS = {
  info: async () => backend.info,
  state: async () => backend.state?.(),
  memory: async () => process.memoryUsage.rss(),
  close: async () => backend.close(),
};

async function handle(ask: Ask): Promise<unknown> {
  if (typeof ask.what === "string") return METHODS[ask.what]();
  const abort = new AbortController();
  running.set(ask.id, abort);
  return answer(ask.what, ask.most ?? Number.POSITIVE_INFINITY, abort.signal).finally(() =>
    running.delete(ask.id),
  );
}

process.on("message", async (ask: Ask | { abort: number }) => {
  if ("abort" in ask) return running.get(ask.abort)?.abort(new Error("gone"));
  try {
    process.send!({ id: ask.id, value: await handle(ask) });
  } catch (thrown) {
    const { code, message, detail } = toKamadoError(thrown, "handler_failed");
    process.send!({ id: ask.id, error: { code, message, detail } });
  }
});
process.on("disconnect", () => process.exit(0));
process.send!({ id: 0, value: "ready" });
