// Long texts in parts, as a handler asks for them.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createWebApp } from "../../worker/console/server.ts";
import type { State } from "../../worker/console/state.ts";
import { chunkText } from "../../worker/job/text.ts";
import { createPages } from "../../worker/pages/article.ts";
import { createTexts } from "../../worker/pages/chunks.ts";

describe("a text in parts", () => {
  test.for([
    ["short", "It rained. We stayed in."],
    ["long", "It rained. We stayed in. ".repeat(2_000)],
  ])("a %s one has the same parts as in the handler's own thread", async ([, text]) => {
    expect(await createTexts().chunks(text!, 100)).toEqual(chunkText(text!, 100));
  });
});

// The health address answers whenever the event loop is free, so answers show that it is.
describe("while a long text is worked on, /health answers", () => {
  const state = { status: "READY", queue: { health: "ok" }, engine: {}, bucket: {} } as unknown as State;
  const app = createWebApp({ token: undefined, state: () => state });

  /** How often /health is asked and answers before `work` is done. */
  async function answersDuring(work: Promise<unknown>): Promise<number> {
    let isDone = false;
    void work.finally(() => {
      isDone = true;
    });
    let answers = 0;
    while (!isDone) {
      const { status } = await app.request("http://127.0.0.1/health", { headers: { host: "127.0.0.1" } });
      if (status === 200) answers += 1;
      await sleep(1);
    }
    await work;
    return answers;
  }

  test.for(["Mr. ", "A. ", "Dr. X. ", "no. 1 "])("when it is cut up: %j", async (pattern) => {
    const text = pattern.repeat(5_000_000 / pattern.length);
    expect(await answersDuring(createTexts().chunks(text, 2_000))).toBeGreaterThan(20);
  });

  test.for(["<p>", "< ", "<style></style>"])("when it is a page: %j", async (pattern) => {
    const html = `${pattern.repeat(Math.floor(1_000_000 / pattern.length))}<p>end`;
    expect(await answersDuring(createPages().article(html))).toBeGreaterThan(20);
  });
});
