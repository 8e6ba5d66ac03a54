// Answers in scripts whose characters are several tokens, on every backend, in every combination of fields that can cut one. The demo
// model repeats a short text when it is asked for a title, and spells what it has no word for byte by byte.
import { isUtf8 } from "node:buffer";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Engine, startEngine } from "../../../worker/engine/supervisor/supervisor.ts";
import { scripted } from "../running.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "./llama-server/installed.ts";

const file = fileURLToPath(new URL("../../../models/demo/kamado-demo.gguf", import.meta.url));
const messages = [{ role: "user", content: "Text: 牛乳を買う\nTitle:" }];
const schema = {
  type: "object",
  properties: { 都市: { enum: ["東京"] }, 絵: { const: "🥛" } },
  required: ["都市", "絵"],
  additionalProperties: false,
};
const response_format = { type: "json_schema", json_schema: { name: "x", strict: true, schema } };

/** Every way to ask. What a backend refuses is left out of these tests; docs/engine.md lists it. */
const ASKED: [string, object][] = [false, true].flatMap((stream) =>
  [{}, { response_format }].flatMap((format) =>
    [{}, { logit_bias: { 5: 1 } }].flatMap((bias) =>
      [{}, { logprobs: true }, { logprobs: true, top_logprobs: 5 }].map((probabilities): [string, object] => {
        const fields = { stream, ...format, ...bias, ...probabilities };
        return [
          JSON.stringify({ ...fields, ...("response_format" in fields && { response_format: "…" }) }),
          fields,
        ];
      }),
    ),
  ),
);

type Entry = { token: string; bytes: number[]; logprob: number; top_logprobs: Entry[] };
type Read = { text: string; finish: string; bytes: number[] | null; entries: Entry[] };

async function ask(url: string, fields: object): Promise<Read | "refused"> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages, temperature: 0, max_tokens: 60, ...fields }),
  });
  const body = await response.text();
  if (response.status === 400) return "refused";
  const events = body.startsWith("{")
    ? [body]
    : body.split("\n\n").flatMap((one) => /^data: (\{.*)/s.exec(one)?.[1] ?? []);
  const choices = events.map((one) => JSON.parse(one).choices[0]);
  const content = choices.flatMap(({ logprobs }) => logprobs?.content ?? []);
  expect(content.map(({ token }) => token).join("")).not.toContain("\ufffd");
  return {
    text: choices.map(({ message, delta }) => (message ?? delta).content ?? "").join(""),
    finish: choices.at(-1).finish_reason,
    bytes: content.length === 0 ? null : content.flatMap(({ bytes }) => bytes),
    entries: content,
  };
}

async function started(backend: "node-llama-cpp" | "llama-node" | "llama-server") {
  const llamaServer = LLAMA_SERVER === undefined ? {} : { llamaServer: LLAMA_SERVER };
  const shape = { slots: 2, contextSize: 512, threads: 1 };
  const started: Engine = startEngine({
    model: file,
    backend,
    ...llamaServer,
    ...shape,
    port: 0,
    onLog: () => {},
  });
  await started.ready();
  return { url: started.url, close: () => started.stop() };
}

const ENGINES = ["node-llama-cpp", "llama-node", "llama-server", "scripted"] as const;

describe.each(ENGINES)("characters of several tokens on %s", { timeout: 120_000 }, (backend) => {
  const isMissing = backend === "llama-server" && LLAMA_SERVER === undefined;
  let engine: { url: string; close(): Promise<void> };
  beforeAll(async () => {
    if (isMissing) return;
    if (backend === "scripted") engine = await scripted({ rules: [{ answer: "牛乳 🥛" }] });
    else engine = await started(backend);
  }, 120_000);
  afterAll(() => engine?.close());

  test.for(ASKED)("%s", async ([, fields], context) => {
    if (isMissing) return context.skip(NO_LLAMA_SERVER);
    const read = await ask(engine.url, fields);
    if (read === "refused") return expect(backend).toBe("llama-node");
    const wantsJson = "response_format" in fields && backend !== "scripted";
    if (wantsJson) expect(JSON.parse(read.text)).toEqual({ 都市: "東京", 絵: "🥛" });
    else expect(read.text).toContain("牛乳");
    expect([read.text.isWellFormed(), read.text.includes("\ufffd"), read.finish]).toEqual([
      true,
      false,
      "stop",
    ]);
    if ("logprobs" in fields) expect(Buffer.from(read.bytes!).toString()).toBe(read.text);
  });

  test("an answer cut after any number of tokens is a beginning of the whole one", async (context) => {
    if (isMissing) return context.skip(NO_LLAMA_SERVER);
    for (const format of [{}, { response_format }]) {
      const whole = await ask(engine.url, format);
      for (let max_tokens = 1; max_tokens <= 12; max_tokens++)
        for (const more of [{}, { logprobs: true }, { stream: true }]) {
          const cut = await ask(engine.url, { ...format, ...more, max_tokens });
          if (cut === "refused" || whole === "refused") continue;
          expect(whole.text.startsWith(cut.text), `${max_tokens}: ${cut.text}`).toBe(true);
        }
    }
  });

  test("a stop string that is half of an emoji cuts none", async (context) => {
    if (isMissing) return context.skip(NO_LLAMA_SERVER);
    const read = await ask(engine.url, { response_format, stop: ["\ud83e", "\udd5b"] });
    if (read === "refused") throw new Error("refused");
    expect([read.finish, read.text.isWellFormed()]).toEqual(["stop", true]);
    expect(read.text).toContain("🥛");
  });
});

describe("the tokens of a character on llama-server", { timeout: 120_000 }, () => {
  let engines: { url: string; close(): Promise<void> }[] = [];
  beforeAll(async () => {
    if (LLAMA_SERVER === undefined) return;
    engines = await Promise.all([started("node-llama-cpp"), started("llama-server")]);
  }, 120_000);
  afterAll(() => Promise.all(engines.map((one) => one.close())));

  /** Both answers, token for token. The likeliest alternatives may differ in the last digits of their probabilities. */
  async function expectSame(fields: object) {
    const [own, other] = await Promise.all(engines.map(({ url }) => ask(url, fields)));
    if (own === "refused" || other === "refused") throw new Error("refused");
    const shown = ({ entries, text, finish }: Read) => ({
      text,
      finish,
      tokens: entries.map(({ bytes, token, top_logprobs: top }) => [token, bytes, top.length]),
    });
    expect(shown(other!)).toEqual(shown(own!));
    for (const [at, { logprob }] of own!.entries.entries())
      expect(Math.exp(other!.entries[at]!.logprob)).toBeCloseTo(Math.exp(logprob), 3);
    return own!;
  }

  const wishes: [string, object][] = [
    ["an answer", {}],
    ["a stream", { stream: true }],
    ["a schema", { response_format }],
    ["a bias", { logit_bias: { 5: 1 } }],
    ["an answer to its last token", { max_tokens: 60, stop: ["買"] }],
  ];
  test.for(wishes)(
    "are reported one by one, with their own probabilities: %s",
    async ([, fields], context) => {
      if (LLAMA_SERVER === undefined) return context.skip(NO_LLAMA_SERVER);
      const { entries } = await expectSame({ logprobs: true, top_logprobs: 5, ...fields });
      expect(entries.some(({ bytes }) => !isUtf8(Buffer.from(bytes)))).toBe(true);
    },
  );

  test("are reported where the answer is cut after any of them", async (context) => {
    if (LLAMA_SERVER === undefined) return context.skip(NO_LLAMA_SERVER);
    for (let max_tokens = 1; max_tokens <= 8; max_tokens++)
      await expectSame({ logprobs: true, top_logprobs: 5, max_tokens });
  });
});
