// Which bodies the engine reads, and how much of them. Clients here announce more than they send, so that a request that is answered
// cannot have been read to its end.
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { MemoryBudget } from "../../../worker/engine/server/memory-budget.ts";
import { structureOf } from "../../../worker/engine/server/read-body.ts";
import fc from "../../properties.ts";
import { post, until, user } from "../running.ts";
import { rawRequest, replyOf } from "./raw-request.ts";
import { recorder, start } from "./start.ts";

const MIB = 1024 * 1024;
const HANGING = { images: true, rules: [{ when: "hang", do: "hang" }] };

describe("a request is refused before its body is read", () => {
  test("while the queue is full", async () => {
    const { url, scheduler } = await start(HANGING, { slots: 1, maxQueue: 0 });
    rawRequest(url, JSON.stringify({ messages: user("hang") }));
    await until(() => scheduler.queue.busy === 1);
    const refused = await replyOf(rawRequest(url, "{", 40 * MIB));
    expect([refused.status, refused.text]).toEqual([429, expect.stringMatching(/^retry-after: \d+/im)]);
  });

  test("while there is no model", async () => {
    const { url } = await start({ loadFails: "no such model" });
    expect((await replyOf(rawRequest(url, "{", MIB))).status).toBe(503);
  });

  test("when it is longer than any request for this model's context", async () => {
    const { url } = await start({ images: false });
    const refused = await replyOf(rawRequest(url, "{", 40 * MIB));
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("context_length_exceeded")]);
  });

  test("when it is longer than any request", async () => {
    const { url } = await start({ images: true });
    expect((await replyOf(rawRequest(url, "{", 49 * MIB))).status).toBe(413);
  });
});

test("a byte order mark before the JSON is not in the way", async () => {
  const { url } = await start();
  const body = `\ufeff${JSON.stringify({ messages: user("milk") })}`;
  expect((await replyOf(rawRequest(url, body))).status).toBe(200);
});

test("half of a UTF-16 pair in a prompt is U+FFFD for the model", async () => {
  const { url, seen } = await recorder();
  expect((await post(url, JSON.stringify({ messages: user("milk \ud83d") }))).status).toBe(200);
  expect(JSON.stringify(seen[0]!.prompt)).toContain("milk \ufffd");
});

test("bodies that arrive have a budget together: past it a large one is refused, and small ones are answered", async () => {
  const budget = new MemoryBudget({ small: 4 * MIB, large: 3 * MIB });
  const { url } = await start({ images: true }, { budget });
  const slow = rawRequest(url, `{"messages":"${"x".repeat(3 * MIB)}`, 40 * MIB);
  await until(() => budget.bytes >= 3 * MIB);
  const large = JSON.stringify({ messages: [], other: "x".repeat(3 * MIB) });
  expect((await post(url, large)).status).toBe(429);
  expect((await post(url, JSON.stringify({ messages: user("x") }))).status).toBe(200);
  slow.destroy();
  await until(() => budget.bytes === 0);
  expect((await post(url, large)).status).toBe(400);
});

test("pictures are decoded only once their request has a place in the queue", async () => {
  const { url, scheduler } = await start(HANGING, { slots: 1, maxQueue: 4 });
  const hang = JSON.stringify({ messages: user("hang"), priority: 5 });
  for (let nth = 0; nth < 4; nth++) rawRequest(url, hang);
  await until(() => scheduler.queue.busy + scheduler.queue.waiting === 4);
  const broken = { type: "image_url", image_url: { url: "data:image/png;base64,aGVsbG8=" } };
  const messages = [{ role: "user", content: [broken] }];
  // A quarter of the queue is left, but not for jobs.
  expect((await post(url, JSON.stringify({ messages, priority: 5 }))).body.error.code).toBe("engine_busy");
  expect((await post(url, JSON.stringify({ messages }))).body.error.code).toBe("image_undecodable");
});

test("a prompt with more characters than the context can hold never reaches a chat template or tokenizer", async () => {
  const { url, seen } = await recorder();
  const halves = ["x".repeat(2_000), "<|e|>".repeat(300)].map((text) => ({ type: "text", text }));
  const refused = await post(url, JSON.stringify({ messages: [{ role: "user", content: halves }] }));
  expect(refused.body.error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
  expect(refused.body.error.message).toContain("3500 characters");
  const plain = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "x".repeat(3_201) }),
  });
  expect(plain.status).toBe(400);
  expect(seen).toEqual([]);
});

describe("what is not text in a body", () => {
  test.each([
    ["arrays", `[]${",[]".repeat(MIB)}`],
    ["texts", `""${',""'.repeat(MIB)}`],
    ["quotes in a text", `"${'\\"'.repeat(MIB)}"`],
  ])("is bounded before it is parsed: %s", async (_, many) => {
    const { url } = await start({ images: true });
    const refused = await post(url, `{"messages":[${many}]}`);
    expect([refused.status, refused.body.error.message]).toEqual([
      400,
      expect.stringContaining("524288 bytes"),
    ]);
  });

  test("is counted without the texts, whatever they contain", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const texts = json.match(/"(?:[^"\\]|\\.)*"/g) ?? [];
        const inside = texts.reduce((sum, text) => sum + Buffer.byteLength(text) - 2, 0);
        const quotes = texts.reduce(
          (sum, text) => sum + (text.match(/\\./g) ?? []).filter((one) => one === '\\"').length,
          0,
        );
        const closing = texts.length;
        const expected = Buffer.byteLength(json) - inside - closing + quotes;
        expect(structureOf(Buffer.from(json), Infinity)).toBe(expected);
      }),
    );
  });
});

describe("a body in another form is read", () => {
  const json = JSON.stringify({ messages: user("牛乳") });
  const send = async (body: Uint8Array, headers: Record<string, string>) => {
    const { url } = await start();
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: body as Uint8Array<ArrayBuffer>,
    });
    const { choices, error } = (await response.json()) as {
      choices?: [{ message: { content: string } }];
      error?: { code: string };
    };
    return choices?.[0].message.content ?? `${response.status} ${error?.code}`;
  };

  test.each([
    ["gzip", gzipSync(json), { "content-encoding": "gzip" }],
    ["br", brotliCompressSync(json), { "content-encoding": "br" }],
    ["zstd", zstdCompressSync(json), { "content-encoding": "zstd" }],
    ["nothing, and says so", Buffer.from(json), { "content-encoding": "identity" }],
    ["UTF-16 with its mark", Buffer.from(`\ufeff${json}`, "utf16le"), {}],
    ["UTF-16 without", Buffer.from(json, "utf16le"), {}],
    ["JSON of another name", Buffer.from(json), { "content-type": "application/problem+json" }],
  ] as [string, Uint8Array, Record<string, string>][])("%s", async (_, body, headers) => {
    expect(await send(body, headers)).toBe("牛乳");
  });

  test.each([
    [
      "packed in a way that nobody knows",
      Buffer.from(json),
      { "content-encoding": "lzma" },
      "400 invalid_value",
    ],
    [
      "cut off while packed",
      gzipSync(json).subarray(0, 40),
      { "content-encoding": "gzip" },
      "400 invalid_value",
    ],
    [
      "much larger than it looks",
      gzipSync(Buffer.alloc(8 * MIB, " ")),
      { "content-encoding": "gzip" },
      "413 body_too_large",
    ],
    ["half of a character", Buffer.from(json).subarray(0, 42), {}, "400 malformed_json"],
    [
      "a form",
      Buffer.from("a=b"),
      { "content-type": "application/x-www-form-urlencoded" },
      "400 invalid_value",
    ],
  ] as [string, Uint8Array, Record<string, string>, string][])(
    "but not %s",
    async (_, body, headers, refusal) => {
      expect(await send(body, headers)).toBe(refusal);
    },
  );
});
