// What the console asks of the engine: its health, its slots, its counters and its models, and answers that are streamed for the chat.
// Another server has only some of this; what it does not say is null. Nothing here throws but the chat.
import type { Readable } from "node:stream";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";
import { Agent } from "../http/undici.ts";

const Slot = z.object({
  id: z.number(),
  state: z.string(),
  since: z.string().catch(""),
  tokens: z.number().catch(0),
  class: z.string().nullable().catch(null),
});
const Waiting = z.object({ count: z.number().catch(0) }).catch({ count: 0 });
const Slots = z.object({
  slots: z.array(Slot),
  waiting: Waiting,
  tokensPerSecond: z.number().catch(0),
  inside: z
    .object({ prefixes: z.object({ count: z.number(), bytes: z.number() }).nullable().catch(null) })
    .nullable()
    .catch(null),
});
export type EngineSlots = z.output<typeof Slots>;

const Reading = z.object({ width: z.number(), tokensPerSecond: z.number() });
const Health = z.object({
  state: z.string(),
  model: z.string().nullable().catch(null),
  backend: z.string().nullable().catch(null),
  quantization: z.string().nullable().catch(null),
  images: z.boolean().nullable().catch(null),
  slots: z.object({ busy: z.number(), total: z.number() }),
  waiting: z.number().catch(0),
  memory: z
    .object({ estimatedBytes: z.number().nullable().catch(null), residentBytes: z.number() })
    .nullable()
    .catch(null),
  slotsFrom: z
    .object({
      from: z.string(),
      measuredAt: z.string().optional().catch(undefined),
      steady: z.boolean().optional().catch(undefined),
      measured: z
        .object({
          readings: z.array(Reading),
          prefillTokensPerSecond: z.number().nullish().catch(null),
          modelBytes: z.number().nullish().catch(null),
          cpu: z.string().nullish().catch(null),
        })
        .optional()
        .catch(undefined),
    })
    .nullable()
    .catch(null),
  reason: z.string().optional().catch(undefined),
});
export type EngineHealth = z.output<typeof Health>;

const Models = z.object({
  data: z.array(z.object({ id: z.string(), context_length: z.number().nullish().catch(null) })),
});

/** Since the engine started. */
export type EngineTotals = { evaluated: number; cached: number; generated: number };

export type ChatMessage = { role: "user" | "assistant"; content: string };
export type ChatPart = { text: string } | { end: string };

export type EngineView = {
  health(): Promise<EngineHealth | null>;
  slots(): Promise<EngineSlots | null>;
  totals(): Promise<EngineTotals | null>;
  models(): Promise<string[]>;
  /** How many tokens a slot holds at most. */
  context(): Promise<number | null>;
  /** The answer, as it is written. Throws `engine_unavailable`, `engine_busy`, `engine_rejected`. */
  chat(
    messages: readonly ChatMessage[],
    options: { signal: AbortSignal; model?: string | undefined },
  ): AsyncIterable<ChatPart>;
};

const LOOK_MS = 3_000;
const MAX_BYTES = 2 * 1024 * 1024;
const CHAT_MS = 30 * 60_000;
const MAX_CHAT_TOKENS = 2_048;

export function createEngineView({ url, token }: { url: string; token?: string | undefined }): EngineView {
  const base = new URL(url.replace(/\/+$/, "").replace(/\/v1$/, ""));
  const agent = new Agent({ connect: { timeout: LOOK_MS }, headersTimeout: CHAT_MS, bodyTimeout: CHAT_MS });
  const headers = { ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  const path = (end: string) => `${base.pathname.replace(/\/$/, "")}${end}`;

  async function look(end: string): Promise<string | null> {
    try {
      const signal = AbortSignal.timeout(LOOK_MS);
      const answer = await agent.request({
        origin: base.origin,
        path: path(end),
        method: "GET",
        headers,
        signal,
        reset: true,
      });
      const text = await readText(answer.body);
      // While it loads its model, it says so with 503.
      return answer.statusCode === 200 || answer.statusCode === 503 ? text : null;
    } catch {
      return null;
    }
  }
  const read = async <T>(end: string, schema: z.ZodType<T>): Promise<T | null> => {
    const text = await look(end);
    return schema.safeParse(jsonOf(text)).data ?? null;
  };

  return {
    health: () => read("/health", Health),
    slots: () => read("/slots", Slots),
    async totals() {
      const text = await look("/metrics");
      return text === null ? null : totalsIn(text);
    },
    context: async () => (await read("/v1/models", Models))?.data[0]?.context_length ?? null,
    models: async () => (await read("/v1/models", Models))?.data.map(({ id }) => id) ?? [],
    async *chat(messages, { signal, model }) {
      const body = JSON.stringify({
        messages,
        stream: true,
        max_tokens: MAX_CHAT_TOKENS,
        ...(model !== undefined && { model }),
      });
      const answer = await agent
        .request({
          origin: base.origin,
          path: path("/v1/chat/completions"),
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body,
          signal,
          reset: true,
        })
        .catch((cause) => {
          signal.throwIfAborted();
          throw new KamadoError("engine_unavailable", "The engine does not answer.", { cause });
        });
      if (answer.statusCode !== 200) throw refusalOf(answer.statusCode, await readText(answer.body));
      yield* partsOf(answer.body);
    },
  };
}

function jsonOf(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}

async function readText(body: Readable): Promise<string> {
  const tooLarge = () => new Error("The engine's answer is longer than expected.");
  return (await readWhole(body, { maxBytes: MAX_BYTES, tooLarge })).toString();
}

function totalsIn(text: string): EngineTotals {
  const sum = (name: string, label = "") =>
    text
      .split("\n")
      .filter((one) => one.startsWith(`${name}{`) && one.includes(label))
      .reduce((total, one) => total + Number(one.slice(one.lastIndexOf(" "))), 0);
  return {
    evaluated: sum("kamado_engine_prompt_tokens_total", 'source="evaluated"'),
    cached: sum("kamado_engine_prompt_tokens_total", 'source="cached"'),
    generated: sum("kamado_engine_generated_tokens_total"),
  };
}

const Refusal = z.object({ error: z.object({ message: z.string() }) });

function refusalOf(status: number, text: string): KamadoError {
  const words = Refusal.safeParse(jsonOf(text)).data?.error.message ?? `The engine answers ${status}.`;
  const code = status === 429 ? "engine_busy" : status >= 500 ? "engine_unavailable" : "engine_rejected";
  return new KamadoError(code, words);
}

const Chunk = z.object({
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }).catch({}),
        finish_reason: z.string().nullish(),
      }),
    )
    .catch([]),
  error: z.object({ message: z.string() }).optional(),
});

/** The events of a stream in OpenAI's form. */
async function* partsOf(body: Readable): AsyncIterable<ChatPart> {
  let rest = "";
  for await (const chunk of body.setEncoding("utf8")) {
    const all = (rest + chunk).split("\n");
    rest = all.pop() ?? "";
    for (const one of all) yield* partsIn(one);
  }
}

function* partsIn(one: string): Iterable<ChatPart> {
  if (!one.startsWith("data:")) return;
  const { success, data } = Chunk.safeParse(jsonOf(one.slice(5)));
  if (!success) return;
  if (data.error) throw new KamadoError("engine_unavailable", data.error.message);
  for (const { delta, finish_reason: end } of data.choices) {
    if (delta.content) yield { text: delta.content };
    if (end) yield { end };
  }
}
