// Which answers and facts say the same, and which contradict each other.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import type { Choice, Model } from "../../worker/job/handler.ts";
import { type AskMeaning, compareContent, groupByMeaning } from "../../worker/job/meaning.ts";
import { normalWords, numbersIn } from "../../worker/job/normal-form.ts";
import fc from "../properties.ts";

type Part = { text: string; evidence: string; part: number };
type Verdict = "same" | "different" | "contradiction" | "uncertain";

/** A model that compares by `verdict`, and what it was asked. */
function judge(verdict: (one: string, other: string) => Verdict | [Verdict, number]) {
  const asked: string[] = [];
  const decide = async ({ content }: { content: string }) => {
    asked.push(content);
    const [, one, other] = /A: (.*)\nB: (.*)$/.exec(content)!;
    const [choice, probability = 0.9] = [verdict(one!, other!)].flat() as [Verdict, number?];
    const probabilities = { same: 0, different: 0, contradiction: 0, [choice]: probability };
    return { choice, best: null, probabilities } as Choice<string>;
  };
  return { model: { decide } as unknown as Pick<Model, "decide">, asked };
}

const never = () => judge(() => "uncertain");

async function grouped(texts: readonly string[], ask: Partial<AskMeaning> = {}) {
  const said = texts.map((text, at) => ({ text, evidence: `${at}` }));
  const { groups, contradictions } = await groupByMeaning(said, { model: never().model, ...ask });
  return { groups: groups.map((group) => group.map(({ text }) => text)), contradictions };
}

describe("without a question to the model", () => {
  test("what is only written in another way is the same, with all its evidence", async () => {
    const { model, asked } = never();
    const said = ["Paris", "the city of Paris", "７千円", "paris.", "¥7,000"].map((text, at) => ({
      text,
      at,
      evidence: "",
    }));
    const { groups, contradictions } = await groupByMeaning(said, { model });
    expect(groups.map((group) => group.map(({ at }) => at))).toEqual([
      [0, 1, 3],
      [2, 4],
    ]);
    expect({ contradictions, asked }).toEqual({ contradictions: [], asked: [] });
  });

  test("a bare number is the same answer as the number of something, unless there are two of these", async () => {
    const question = "How many?";
    expect((await grouped(["40", "40 loaves", "forty"], { question })).groups).toEqual([
      ["40", "40 loaves", "forty"],
    ]);
    expect((await grouped(["40個", "40"], { question })).groups).toHaveLength(1);
    expect((await grouped(["40", "40 loaves", "40 rolls"], { question })).groups).toHaveLength(3);
    for (const other of [
      "40 %",
      "about 40",
      "over 40 loaves",
      "40 or 50 loaves",
      "40個以上",
      "40円",
      "$40",
      "not 40",
    ])
      expect((await grouped(["40", other], { question })).groups, other).toHaveLength(2);
    expect((await grouped(["40", "40 loaves"])).groups).toHaveLength(2);
  });

  test("texts of signs alone are compared as they are", async () => {
    expect((await grouped(["?", "!", " ? "])).groups).toEqual([["?", " ? "], ["!"]]);
  });

  test("nothing and one text need no model", async () => {
    expect(await grouped([])).toEqual({ groups: [], contradictions: [] });
    expect(await grouped(["Paris"], { question: "Where?" })).toEqual({
      groups: [["Paris"]],
      contradictions: [],
    });
  });
});

describe("the model is asked", () => {
  test("about texts that share words, and not about others", async () => {
    const { model, asked } = never();
    await grouped(["The bakery opened in 1977", "Rain fell on Monday", "The bakery was opened by Sato"], {
      model,
    });
    expect(asked).toEqual(["A: The bakery opened in 1977\nB: The bakery was opened by Sato"]);
  });

  test("in Japanese too", async () => {
    const { model, asked } = never();
    await grouped(["パン屋は1977年に開店した", "月曜日に雨が降った", "パン屋を開店したのは佐藤さん"], {
      model,
    });
    expect(asked).toEqual(["A: パン屋は1977年に開店した\nB: パン屋を開店したのは佐藤さん"]);
  });

  test("about every two answers to one question, those that share the most first, and no more than the limit", async () => {
    const { model, asked } = never();
    const texts = ["red", "by the old bridge", "blue", "under the old bridge"];
    await grouped(texts, { model, question: "Where\n is it?", maxQuestions: 3 });
    expect(asked).toEqual([
      "Question: Where is it?\nA: by the old bridge\nB: under the old bridge",
      "Question: Where is it?\nA: red\nB: by the old bridge",
      "Question: Where is it?\nA: red\nB: blue",
    ]);
    const none = never();
    await grouped(texts, { model: none.model, question: "Where?", maxQuestions: 0 });
    expect(none.asked).toEqual([]);
  });

  test("about none that the caller knows to be different", async () => {
    const { model, asked } = never();
    const said = [0, 0, 1].map((part, at) => ({ text: `The bakery sells loaf ${at}`, evidence: "", part }));
    const ask = { model, mayBeSame: (one: Part, other: Part) => one.part !== other.part };
    await groupByMeaning(said, ask);
    expect(asked).toHaveLength(2);
    await groupByMeaning(said, { ...ask, question: "Which?" });
    expect(asked).toHaveLength(4);
  });

  test("about all pairs at once", async () => {
    let waiting = 0;
    const all = Promise.withResolvers<void>();
    const decide = async () => {
      waiting += 1;
      if (waiting === 3) all.resolve();
      await all.promise;
      return { choice: "different", best: null, probabilities: {} };
    };
    const { groups } = await grouped(["red", "blue", "green"], {
      model: { decide } as never,
      question: "Which?",
    });
    expect(groups).toHaveLength(3);
  });

  test("and what it is not sure of, or has no usable answer for, is different", async () => {
    const texts = ["by the old bridge", "under the old bridge"];
    const failing = judge(() => {
      throw new KamadoError("answer_invalid", "No.");
    });
    for (const { model } of [never(), failing])
      expect((await grouped(texts, { model })).groups).toHaveLength(2);
    const died = judge(() => {
      throw new KamadoError("engine_died", "It died.");
    });
    await expect(grouped(texts, { model: died.model })).rejects.toMatchObject({ code: "engine_died" });
  });
});

describe("by what the model says", () => {
  const question = "Who is the owner?";

  test("the same in other words is one group, in the order of the input", async () => {
    const { model } = judge((one, other) => (/Sato/.test(one) && /Sato/.test(other) ? "same" : "different"));
    const { groups } = await grouped(["Dr. Sato", "Tanaka", "a woman named Sato", "Tanaka."], {
      model,
      question,
    });
    expect(groups).toEqual([
      ["Dr. Sato", "a woman named Sato"],
      ["Tanaka", "Tanaka."],
    ]);
  });

  test("contradictions are pairs of groups", async () => {
    const { model } = judge((one, other) =>
      /red|rot/.test(one) === /red|rot/.test(other) ? "same" : "contradiction",
    );
    const { groups, contradictions } = await grouped(["red", "blue", "rot", "blau"], { model, question });
    expect(groups).toEqual([
      ["red", "rot"],
      ["blue", "blau"],
    ]);
    expect(contradictions).toEqual([[0, 1]]);
  });

  test("what contradicts a member does not join its group; the surer verdict counts", async () => {
    const { model } = judge((one, other) => {
      if (one === "red" && other === "blue") return "contradiction";
      return ["same", one === "red" ? 0.7 : 0.9];
    });
    expect(await grouped(["red", "blue", "crimson"], { model, question })).toEqual({
      groups: [["red"], ["blue", "crimson"]],
      contradictions: [[0, 1]],
    });
  });

  test("7 is never 7,000, whatever it says", async () => {
    const { model } = judge(() => "same");
    expect((await grouped(["7", "7,000"], { model, question })).groups).toHaveLength(2);
    expect((await grouped(["7 loaves", "7,000 loaves"], { model, question })).groups).toHaveLength(2);
  });

  test.each([
    ["5,200 people came to the fair.", "The fair had about 4,100 visitors.", 2],
    ["The shop is open on Mondays.", "The shop is not open on Mondays.", 2],
    ["5,200 people came to the fair on 4 July.", "The fair had 5,200 visitors.", 1],
  ])("it can make one of %s and %s only where their facts allow it", async (one, other, count) => {
    const model = { decide: async () => ({ choice: "same", probabilities: { same: 0.9 } }) as never };
    expect((await grouped([one, other], { model, question })).groups).toHaveLength(count);
  });

  test("different numbers do not meet in one group by way of a third text", async () => {
    const { model } = judge((one, other) => (/few/.test(one) || /few/.test(other) ? "same" : "different"));
    const { groups } = await grouped(["7 loaves", "a few loaves", "9 rolls"], { model, question });
    expect(groups).toEqual([["7 loaves", "a few loaves"], ["9 rolls"]]);
  });
});

describe("for any texts", () => {
  const word = fc.constantFrom(
    "7",
    "7,000",
    "seven",
    "40",
    "loaves",
    "about",
    "not",
    "Paris",
    "the",
    "%",
    "開店",
    "七千円",
    "July 4",
    "4 July 1977",
    "or",
  );
  const text = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join(" "));
  const asKeys = (groups: readonly string[][]) =>
    groups.map((group) => group.toSorted().join("|")).toSorted();
  const questions = fc.constantFrom(undefined, "How many?");
  const asking = (question: string | undefined) => (question === undefined ? {} : { question });

  test("their order does not change which are the same without the model", async () => {
    const orders = fc
      .uniqueArray(text, { maxLength: 12 })
      .chain((texts) =>
        fc.tuple(fc.constant(texts), fc.shuffledSubarray(texts, { minLength: texts.length })),
      );
    await fc.assert(
      fc.asyncProperty(orders, questions, async ([texts, shuffled], question) => {
        const [one, other] = [
          await grouped(texts, asking(question)),
          await grouped(shuffled, asking(question)),
        ];
        expect(asKeys(one.groups)).toEqual(asKeys(other.groups));
      }),
    );
  });

  test("nothing is lost, and no group has different numbers unless the model said of both that they are the same", async () => {
    const verdicts = fc.func<[string, string], Verdict>(
      fc.constantFrom("same", "different", "contradiction", "uncertain"),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { maxLength: 10 }),
        verdicts,
        questions,
        async (texts, verdict, question) => {
          const said = new Set<string>();
          const { model } = judge((one, other) => {
            const is = verdict(one, other);
            if (is === "same") said.add(`${normalWords(one)}|${normalWords(other)}`);
            return is;
          });
          const { groups, contradictions } = await grouped(texts, { model, ...asking(question) });
          expect(groups.flat().toSorted()).toEqual(texts.toSorted());
          const numbers = (one: string) => [...numbersIn(normalWords(one))].toSorted().join();
          for (const group of groups)
            for (const one of group)
              for (const other of group) {
                const [a, b] = [numbers(one), numbers(other)];
                const wasSaid =
                  said.has(`${normalWords(one)}|${normalWords(other)}`) ||
                  said.has(`${normalWords(other)}|${normalWords(one)}`);
                expect(a === b || a === "" || b === "" || wasSaid, `${one} and ${other}`).toBe(true);
              }
          for (const [a, b] of contradictions) expect(a < b && b < groups.length).toBe(true);
        },
      ),
    );
  });
});

test("what the model gets", () => {
  expect(compareContent(" a\nb", "c ", "who\t?")).toBe("Question: who ?\nA: a b\nB: c");
  expect(compareContent("a", "b")).toBe("A: a\nB: b");
});

test("thousands of texts are grouped in a moment, with no more questions than allowed", async () => {
  const { model, asked } = never();
  const texts = Array.from(
    { length: 3_000 },
    (_, at) => `The bakery number ${at} sells ${at % 50} loaves of kind ${at % 700}`,
  );
  expect((await grouped(texts, { model })).groups).toHaveLength(3_000);
  expect(asked).toHaveLength(24);
});
