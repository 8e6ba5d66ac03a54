// Long texts in parts, as a handler asks for them.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createWebApp } from "../../worker/console/server.ts";
import type { State } from "../../worker/console/state.ts";
import { chunkText } from "../../worker/job/text.ts";
import { createPages } from "../../worker/pages/article.ts";
import { createTexts } from "../../worker/pages/chunks.ts";
import { rankTexts } from "../../worker/pages/rank.ts";

describe("a text in parts", () => {
  test.for([
    ["short", "It rained. We stayed in."],
    ["long", "It rained. We stayed in. ".repeat(2_000)],
  ])("a %s one has the same parts as in the handler's own thread", async ([, text]) => {
    expect(await createTexts().chunks(text!, 100)).toEqual(chunkText(text!, 100));
  });
});

describe("texts ranked by queries", () => {
  const { rank } = createTexts();
  const best = async (texts: string[], ...queries: string[]) => {
    const scores = await rank(texts, queries);
    return texts[scores.indexOf(Math.max(...scores))];
  };
  const BAKERY = [
    "The bakery opened in 1977, and the street was new.",
    "It sells seven thousand loaves a day, and the price is low.",
    "Rain fell on the town on the 4th of July.",
  ];

  test.for([
    ["When did the bakery open?", 0],
    ["Was the price, and the, and the, and the, low?", 1],
    ["7,000", 1],
    ["July 4", 2],
  ] as const)("the text with the words of %j is the first", async ([query, at]) => {
    expect(await best([...BAKERY], query)).toBe(BAKERY[at]);
  });

  test.for([
    ["開店はいつですか", "パン屋は1977年に開店した。"],
    ["猫", "黒い猫がいる。"],
    ["四十個を売る店", "パンを毎日40個売る。"],
    ["ร้านเปิดเมื่อไร", "ร้านเปิดในปี 1977"],
    ["빵집은 언제 열었나요", "빵집은 1977년에 열었다."],
  ])("in scripts without spaces too: %s", async ([query, text]) => {
    const texts = [
      "パン屋は1977年に開店した。",
      "黒い猫がいる。",
      "パンを毎日40個売る。",
      "ร้านเปิดในปี 1977",
      "빵집은 1977년에 열었다.",
    ];
    expect(await best(texts, query!)).toBe(text);
  });

  test("one without any of the words has 0, and the best of the queries counts", async () => {
    const [first, second, third] = await rank(BAKERY, ["loaves", "bakery", "snow"]);
    expect({ first: first! > 0, second: second! > 0, third }).toEqual({
      first: true,
      second: true,
      third: 0,
    });
    expect(await rank(BAKERY, ["loaves"])).toEqual([0, second, 0]);
    expect([await rank([], ["loaves"]), await rank(["", "?"], ["?", ""]), await rank(["a b"], [])]).toEqual([
      [],
      [0, 0],
      [0],
    ]);
  });

  test("many have the same scores as in the handler's own thread, in every run", async () => {
    const texts = Array.from(
      { length: 300 },
      (_, at) => `${BAKERY[at % 3]} This is the number ${at * 7}. ${"It rained. ".repeat(at % 9)}`,
    );
    const scores = rankTexts(texts, ["bakery", "77"]);
    expect(await rank(texts, ["bakery", "77"])).toEqual(scores);
    expect(await rank(texts, ["bakery", "77"])).toEqual(scores);
    expect(scores[0]).toBeGreaterThan(0);
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

  test("when it is ranked", async () => {
    const texts = Array.from({ length: 1_000 }, (_, at) => `The ${at} bakery sells ${"bread ".repeat(400)}`);
    expect(await answersDuring(createTexts().rank(texts, ["bakery"]))).toBeGreaterThan(20);
  });

  test.for(["<p>", "< ", "<style></style>"])("when it is a page: %j", async (pattern) => {
    const html = `${pattern.repeat(Math.floor(1_000_000 / pattern.length))}<p>end`;
    expect(await answersDuring(createPages().article(html))).toBeGreaterThan(20);
  });
});
