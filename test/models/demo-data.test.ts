// The demo model's data: the same seed gives the same case, held-out seeds stay out of training, formats are the handlers'.
import { describe, expect, it } from "vitest";
import { factsContent, questionContent } from "../../handlers/article-extract.ts";
import { checkContent } from "../../handlers/image-check.ts";
import { answerContent, claimsContent, keywordsContent } from "../../handlers/knowledge-research.ts";
import { matchContent, titleContent } from "../../handlers/todo-match.ts";
import { articleCase, factsCase } from "../../models/demo/data/articles.ts";
import { SIDE, toSquare } from "../../models/demo/data/clip.ts";
import { pictureCase } from "../../models/demo/data/lock-questions.ts";
import { drawLock } from "../../models/demo/data/locks.ts";
import { claimsCase } from "../../models/demo/data/page-parts.ts";
import { HELD_OUT } from "../../models/demo/data/random.ts";
import { answerCase, compareCase, keywordsCase } from "../../models/demo/data/research.ts";
import { lockSession, TRAINING, textSession } from "../../models/demo/data/sessions.ts";
import { titleCase, todoCase } from "../../models/demo/data/todos.ts";
import { compareContent } from "../../worker/job/meaning.ts";
import { sentenceFinder } from "../../worker/job/text.ts";

const SEEDS = Array.from({ length: 200 }, (_, index) => HELD_OUT + index);

describe("a case", () => {
  it.each([
    ["todo", todoCase],
    ["title", titleCase],
    ["article", articleCase],
    ["facts", factsCase],
    ["picture", pictureCase],
    ["claims", claimsCase],
    ["keywords", keywordsCase],
    ["compare", compareCase],
    ["answer", answerCase],
  ])("is the same for the same seed and another for another: %s", (_, make: (seed: number) => unknown) => {
    expect(make(HELD_OUT)).toEqual(make(HELD_OUT));
    expect(make(HELD_OUT)).not.toEqual(make(HELD_OUT + 1));
  });

  it("has seeds that training never reaches", () => {
    expect(Math.max(TRAINING.sessions, TRAINING.pictures)).toBeLessThan(HELD_OUT);
  });

  it("expects a todo of its list, or a new one", () => {
    for (const { todos, expected, text } of SEEDS.map(todoCase)) {
      expect(todos.length).toBeGreaterThanOrEqual(2);
      expect(todos.length).toBeLessThanOrEqual(8);
      expect(["new", ...todos.map((_, index) => String(index + 1))]).toContain(expected);
      expect(matchContent(text, todos)).toContain(`Text: ${text}`);
    }
  });

  it("expects a title whose words stand in the sentence, but for the verb", () => {
    for (const { text, expected } of SEEDS.map(titleCase))
      expect(text.toLowerCase()).toContain(expected.toLowerCase().split(" ").at(-1));
  });

  it("expects answers and evidence that stand in the article word for word", () => {
    for (const { text, expected } of SEEDS.map(articleCase)) {
      expect(text.length).toBeLessThanOrEqual(1_200);
      if (expected.answer === null || expected.evidence === null) {
        expect(expected).toEqual({ answer: null, evidence: null });
        continue;
      }
      expect(expected.evidence).toContain(expected.answer);
      // Contains, because a sentence that begins with a number is taken together with the one before it.
      expect(sentenceFinder(text)(expected.evidence)).toContain(expected.evidence);
    }
  });

  it("expects the first facts in the order of the text", () => {
    for (const { text, count, expected } of SEEDS.map(factsCase)) {
      expect(expected.facts.length).toBeLessThanOrEqual(count);
      const places = expected.facts.map(({ evidence }) => text.indexOf(evidence));
      expect(places).toEqual([...places].sort((one, other) => one - other));
      expect(Math.min(...places)).toBeGreaterThanOrEqual(0);
    }
  });
});

describe("a case of a research", () => {
  it("expects claims that stand in the part word for word, at most three of them, or none", () => {
    const cases = SEEDS.map(claimsCase);
    for (const { text, expected } of cases) {
      expect(expected.claims.length).toBeLessThanOrEqual(3);
      for (const { evidence, claim } of expected.claims) {
        expect(text).toContain(evidence);
        expect(claim).toBe(evidence);
      }
    }
    const none = cases.filter(({ expected }) => expected.claims.length === 0).length;
    expect(none).toBeGreaterThan(cases.length / 5);
    expect(none).toBeLessThan(cases.length / 2);
  });

  it("expects no claims where the question names a town that the part does not", () => {
    const inTown = (question: string) => / in ([A-Z][a-z]+)\?$/.exec(question)?.[1];
    const elsewhere = SEEDS.map(claimsCase).filter(({ where, text, question }) => {
      const town = inTown(question);
      return town !== undefined && !`${where}${text}`.includes(town);
    });
    expect(elsewhere.length).toBeGreaterThan(10);
    for (const { expected } of elsewhere) expect(expected.claims).toEqual([]);
  });

  it("expects search phrases of the question's own words", () => {
    for (const { question, count, expected } of SEEDS.map(keywordsCase)) {
      expect(expected.keywords).toHaveLength(count);
      for (const word of expected.keywords.flatMap((phrase) => phrase.split(" ")))
        expect(question).toContain(word);
    }
  });

  it("compares statements that are not equal word for word, as often the same as contradicting or different", () => {
    const cases = SEEDS.map(compareCase);
    for (const { one, other } of cases) expect(one).not.toBe(other);
    for (const verdict of ["same", "different", "contradiction"])
      expect(cases.filter(({ expected }) => expected === verdict).length).toBeGreaterThan(cases.length / 5);
  });

  it("expects an answer of the claims themselves, each with its number", () => {
    for (const { claims, expected } of SEEDS.map(answerCase))
      for (const { text, claims: numbers } of expected.sentences)
        expect(numbers.map((number) => claims[number - 1])).toEqual([text]);
  });
});

describe("a training session", () => {
  const sessions = Array.from({ length: 300 }, (_, seed) => textSession(seed));

  it("opens with exactly what a handler sends", () => {
    const openings = {
      todo: matchContent("SENTENCE", [{ title: "TITLE" }]),
      title: titleContent("SENTENCE"),
      article: questionContent("TEXT", "QUESTION"),
      facts: factsContent("TEXT", 3),
      claims: claimsContent("[HEADING] ", "TEXT", "QUESTION"),
      lock: checkContent("QUESTION"),
      keywords: keywordsContent("QUESTION", 3),
      compare: compareContent("ONE", "OTHER", "QUESTION"),
      answer: answerContent("QUESTION", ["CLAIM"]),
    };
    const article = /^Article: .+\n(Q: .+|Facts: \d|Claims: .+)$/;
    const shape = {
      todo: /^Todos:\n(\d+: .+\n)+Text: .+$/,
      title: /^Text: .+\nTitle:$/,
      article,
      facts: article,
      claims: article,
      lock: /^Q: .+$/,
      keywords: /^Question: .+\nKeywords: \d$/,
      compare: /^(Question: .+\n)?A: .+\nB: .+$/,
      answer: /^Question: .+\n(\d\. .+\n)+Answer:$/,
    };
    for (const [kind, opening] of Object.entries(openings))
      expect(opening).toMatch(shape[kind as keyof typeof openings]);
    for (const { kind, turns } of sessions) expect(turns[0]!.input).toMatch(shape[kind]);
  });

  it("answers in the shape a handler reads", () => {
    const keys = { "Q:": "evidence", "Facts:": "facts", "Claims:": "claims", "Keywords:": "keywords" };
    for (const { kind, turns } of sessions)
      for (const { input, answer } of turns) {
        const asks = input.split("\n").at(-1)!.split(" ")[0]!;
        if (kind === "todo") expect(answer).toMatch(/^(\d|new)$/);
        else if (kind === "title") expect(answer).toMatch(/^ \S/);
        else if (kind === "compare") expect(answer).toMatch(/^(same|different|contradiction)$/);
        else if (kind === "answer") expect(Object.keys(JSON.parse(answer))).toEqual(["sentences"]);
        else expect(Object.keys(JSON.parse(answer))[0]).toBe(keys[asks as keyof typeof keys]);
      }
  });

  it("shows every list, article and question first in some session", () => {
    const firsts = sessions.map(({ turns }) => turns[0]!.input.split("\n").at(-1)!.split(" ")[0]);
    const asked = ["Q:", "Facts:", "Claims:", "Keywords:", "B:", "Answer:"];
    expect(new Set(firsts)).toEqual(new Set(["Text:", "Title:", ...asked]));
  });

  it("asks about locks with y or n as the answer", () => {
    const meta = { present: true, orientation: "vertical", colour: "red" } as const;
    for (const { answer } of lockSession(1, meta).turns) expect(answer).toMatch(/^[yn]$/);
  });
});

describe("a picture of a lock", () => {
  it("has the wished size and the wished bar", () => {
    const picture = drawLock({
      seed: 7,
      width: 90,
      height: 60,
      orientation: "vertical",
      colour: "blue",
      present: true,
    });
    expect(picture).toMatchObject({ width: 90, height: 60 });
    expect(picture.rgb).toHaveLength(90 * 60 * 3);
    expect(picture.meta).toEqual({ orientation: "vertical", colour: "blue", present: true });
  });

  it("is another one when the bar is turned", () => {
    const [across, upright] = (["horizontal", "vertical"] as const).map((orientation) =>
      drawLock({ seed: 7, orientation, present: true }),
    );
    expect(across!.rgb).not.toEqual(upright!.rgb);
  });

  it("becomes the square that clip makes of it, on grey", () => {
    const { width, height, rgb } = toSquare(drawLock({ seed: 3, width: 128, height: 64 }));
    expect([width, height, rgb.length]).toEqual([SIDE, SIDE, SIDE * SIDE * 3]);
    expect([...rgb.subarray(0, 3)]).toEqual([122, 116, 104]);
  });
});
