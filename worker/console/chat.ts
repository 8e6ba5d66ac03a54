// The chat's answers: passed on from the engine as they are written, with a word about waiting before the first. A reader who leaves, or
// stops, ends the answer at the engine too.
import type { Context } from "hono";
import { stream } from "hono/streaming";
import { z } from "zod";
import { describeIssues, KamadoError, toKamadoError } from "../errors.ts";
import type { ChatMessage, EngineView } from "./engine-view.ts";
import type { Said } from "./pages/chat-page.ts";
import { length } from "./pages/show.ts";
import type { View } from "./pages/view.ts";

const Asked = z.object({
  messages: z
    .array(z.object({ role: z.enum(["user", "assistant"]), content: z.string().max(200_000) }))
    .min(1)
    .max(200),
  model: z.string().max(200).optional(),
});

const LOOK_MS = 1_000;

export async function answerChat(
  context: Context,
  engine: EngineView,
  view: View,
  show: (said: Said) => Promise<Response>,
): Promise<Response> {
  const { signal } = context.req.raw;
  if (context.req.header("content-type")?.startsWith("application/json") !== true) {
    const { message } = await context.req.parseBody();
    // A form without a script ends its lines with CR LF.
    const question = String(message ?? "").replaceAll("\r\n", "\n");
    return show(await wholeAnswer(engine, question, signal));
  }
  const body: unknown = await context.req.json().catch(() => null);
  const asked = Asked.safeParse(body);
  if (!asked.success) throw new KamadoError("invalid_input", `${describeIssues(asked.error, body)}.`);
  context.header("content-type", "application/x-ndjson; charset=utf-8");
  context.header("cache-control", "no-store");
  // Some proxies hold an answer back until it is whole.
  context.header("x-accel-buffering", "no");
  return stream(context, async (out) => {
    const stop = new AbortController();
    out.onAbort(() => stop.abort());
    const write = (part: object) => out.write(`${JSON.stringify(part)}\n`);
    await streamAnswer({ engine, view, write, asked: asked.data, signal: stop.signal }).catch((thrown) => {
      if (stop.signal.aborted) return;
      const { code, message, hint } = toKamadoError(thrown, "engine_unavailable");
      return write({ error: { code, message, hint } });
    });
  });
}

async function streamAnswer({
  engine,
  view,
  write,
  asked,
  signal,
}: {
  engine: EngineView;
  view: View;
  write(part: object): Promise<unknown>;
  asked: z.output<typeof Asked>;
  signal: AbortSignal;
}): Promise<void> {
  const began = Date.now();
  const waiting = setInterval(async () => {
    const slots = await engine.slots();
    if (slots && !hasBegun) await write({ waiting: slots.waiting.count });
  }, LOOK_MS);
  let hasBegun = false;
  let tokens = 0;
  try {
    for await (const part of engine.chat(asked.messages as ChatMessage[], { signal, model: asked.model })) {
      hasBegun = true;
      clearInterval(waiting);
      if ("text" in part) {
        tokens++;
        await write(part);
      }
    }
  } finally {
    hasBegun = true;
    clearInterval(waiting);
  }
  const ms = Date.now() - began;
  const rate = (tokens / Math.max(0.001, ms / 1_000)).toFixed(1);
  await write({ done: view.t("chat_done", { time: length(view, ms), rate }) });
}

async function wholeAnswer(engine: EngineView, question: string, signal: AbortSignal): Promise<Said> {
  let answer = "";
  try {
    for await (const part of engine.chat([{ role: "user", content: question }], { signal }))
      if ("text" in part) answer += part.text;
    return { question, answer };
  } catch (thrown) {
    const { code, message, hint } = toKamadoError(thrown, "engine_unavailable");
    return { question, ...(answer !== "" && { answer }), error: { code, message, hint } };
  }
}
