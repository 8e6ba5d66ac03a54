// The client of the tables: how it reads a server's answers, and that it keeps its lanes full.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { AnswerReader, completion, runLoad } from "../../bench/load.ts";

const usage = {
  prompt_tokens: 60,
  completion_tokens: 3,
  prompt_tokens_details: { cached_tokens: 50 },
};
const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const STREAM = [
  event({ choices: [{ text: "" }] }),
  event({ choices: [{ text: "é" }] }),
  event({ choices: [{ text: "b" }] }),
  event({ choices: [], usage }),
  "data: [DONE]\n\n",
].join("");

describe("a stream", () => {
  test("is read the same wherever the network cuts it", () => {
    for (let cut = 1; cut < STREAM.length; cut++) {
      const reader = new AnswerReader(0, () => 7);
      reader.push(STREAM.slice(0, cut));
      reader.push(STREAM.slice(cut));
      expect(reader.answer(9)).toEqual({
        startedMs: 0,
        firstMs: 7,
        endedMs: 9,
        promptTokens: 60,
        cachedTokens: 50,
        completionTokens: 3,
      });
    }
  });

  test("has its first token when the first text arrives, not the first event", () => {
    let now = 0;
    const reader = new AnswerReader(0, () => now);
    for (const line of STREAM.split(/(?<=\n\n)/)) {
      now++;
      reader.push(line);
    }
    expect(reader.answer(9).firstMs).toBe(2);
  });

  test("that ends with an error or without usage has failed", () => {
    const broken = new AnswerReader(0);
    broken.push(event({ error: { message: "out of memory" } }));
    expect(broken.answer(1).failure).toBe("out of memory");
    expect(new AnswerReader(0).answer(1).failure).toBe("the answer has no usage");
  });
});

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function serverOf(handle: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on("end", () => handle(response));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  closers.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

describe("a load", () => {
  test("sends a lane's next request only when its last one has been answered", async () => {
    const open: ServerResponse[] = [];
    let most = 0;
    const url = await serverOf((response) => {
      most = Math.max(most, open.push(response));
      // Answered only when all lanes are waiting: with a lane missing, the test would not end.
      if (open.length < 3) return;
      for (const one of open.splice(0))
        one.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ usage }));
    });
    const calls = Array.from({ length: 9 }, () => completion("x", 3));
    const { answers } = await runLoad(calls, { url }, 3);
    expect(most).toBe(3);
    expect(answers.map(({ completionTokens }) => completionTokens)).toEqual(Array(9).fill(3));
  });

  test("continues when a server refuses, and keeps its message", async () => {
    const url = await serverOf((response) => response.writeHead(429).end("full"));
    const { answers } = await runLoad([completion("x", 3), completion("y", 3)], { url }, 1);
    expect(answers.map(({ failure }) => failure)).toEqual(["429: full", "429: full"]);
  });

  test("gives up with the reason when the bench ends, even if no answer comes", async () => {
    const ending = new AbortController();
    const url = await serverOf(() => ending.abort(new Error("interrupted")));
    const calls = [completion("x", 3), completion("y", 3)];
    await expect(runLoad(calls, { url }, 1, ending.signal)).rejects.toThrow("interrupted");
  });
});
