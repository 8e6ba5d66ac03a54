// The Markdown of a page in parts, as a model gets it.
import { describe, expect, test } from "vitest";
import { chunkMarkdown } from "../../worker/pages/chunk-markdown.ts";
import fc from "../properties.ts";
import { growthOf } from "../steps.ts";

const textsOf = (markdown: string, size: number, title: string | null = null) =>
  chunkMarkdown(markdown, size, title).map(({ text }) => text);
const sentence = (n: number) => `This is sentence number ${n} of the page.`;
const paragraph = (from: number, count: number) =>
  Array.from({ length: count }, (_, n) => sentence(from + n)).join(" ");

describe("parts", () => {
  test("end between paragraphs where these fit", () => {
    expect(textsOf("One one.\n\nTwo two.\n\nThree.", 20)).toEqual(["One one.\n\nTwo two.", "Three."]);
  });

  test("end between the sentences of a long paragraph, in Japanese too", () => {
    const japanese = "パンは毎朝四十個焼きます。昼までに売り切れます。店は水曜日が休みです。";
    expect(textsOf(japanese, 30)).toEqual([
      "パンは毎朝四十個焼きます。昼までに売り切れます。",
      "店は水曜日が休みです。",
    ]);
    expect(textsOf("It rained. We stayed in. Nobody came.", 26)).toEqual([
      "It rained. We stayed in.",
      "Nobody came.",
    ]);
  });

  test("do not end inside an address or a link", () => {
    const link = "[the price list](https://shop.example/p?id=1)";
    expect(textsOf(`It rained. See ${link} for more.`, 70)).toEqual(
      ["It rained.", `See ${link} for more.`].slice(0, 0).concat([`It rained. See ${link} for more.`]),
    );
    expect(textsOf(`It rained. See ${link} for more.`, 62)).toEqual(["It rained.", `See ${link} for more.`]);
  });

  test("begin with a heading rather than end with one", () => {
    const page = `${paragraph(0, 3)}\n\n## Prices\n\n${paragraph(3, 3)}`;
    const [first, second] = textsOf(page, 150);
    expect(first).toBe(paragraph(0, 3));
    expect(second).toBe(`## Prices\n\n${paragraph(3, 3)}`);
  });

  test("join short sections", () => {
    const page = "## A\n\nOne.\n\n## B\n\nTwo.\n\n## C\n\nThree.";
    expect(textsOf(page, 200)).toEqual([page]);
  });

  test("fill their size: only before a heading at the top, and at the end, one is short", () => {
    const page = `${sentence(0)}\n\n${paragraph(1, 10)}\n\n${sentence(11)}\n\n${paragraph(12, 10)}`;
    const texts = textsOf(page, 300);
    for (const text of texts.slice(0, -1)) expect(text.length).toBeGreaterThan(150);
  });
});

describe("what belongs together stays in one part", () => {
  test("code, unless it is longer than a part; then each part of it is in a fence", () => {
    const code = "```js\nlet a = 1;\n\nlet b = 2;\n```";
    expect(textsOf(`Some words.\n\n${code}\n\nMore words.`, 40)).toEqual([
      "Some words.",
      code,
      "More words.",
    ]);
    const long = `\`\`\`js\n${Array.from({ length: 6 }, (_, n) => `call(${n});`).join("\n")}\n\`\`\``;
    expect(textsOf(long, 40)).toEqual([
      "```js\ncall(0);\ncall(1);\ncall(2);\n```",
      "```js\ncall(3);\ncall(4);\ncall(5);\n```",
    ]);
  });

  test("the rows of a table, whose parts repeat its header", () => {
    const head = "| Bread | Price |\n| --- | --- |";
    const rows = Array.from({ length: 4 }, (_, n) => `| loaf ${n} | ${n}00 yen |`);
    const texts = textsOf(`${head}\n${rows.join("\n")}`, 80);
    expect(texts).toEqual([`${head}\n${rows[0]}\n${rows[1]}`, `${head}\n${rows[2]}\n${rows[3]}`]);
  });

  test("the items of a list", () => {
    const items = ["- One is here.\n  It goes on.", "- Two is here.\n\n  It goes on.", "- Three."];
    expect(textsOf(items.join("\n"), 35)).toEqual(
      items.slice(0, 0).concat([items[0]!, items[1]!, items[2]!]),
    );
  });
});

describe("each part says", () => {
  const page = "# Bread\n\nIntro.\n\n## Prices\n\nCheap.\n\n### Rye `v2`\n\nDear.\n\n## Hours\n\nLong.";

  test("under which headings it stands, without the page's title", () => {
    const chunks = chunkMarkdown(page, 22, "Bread - Nonane News");
    expect(chunks.map(({ text, path }) => [text, path])).toEqual([
      ["# Bread\n\nIntro.", []],
      ["## Prices\n\nCheap.", ["Prices"]],
      ["### Rye `v2`\n\nDear.", ["Prices", "Rye v2"]],
      ["## Hours\n\nLong.", ["Hours"]],
    ]);
  });

  test("where it stands", () => {
    for (const { text, start, end } of chunkMarkdown(page, 22, null))
      expect(page.slice(start, end).trim()).toBe(text);
  });
});

const piece = fc.constantFrom(
  "# Title\n\n",
  "## Part\n",
  "Some words here. And more.\n\n",
  "日本語の文です。もう一つ。\n",
  "- item\n",
  "  - inner\n\n",
  "1. one\n",
  "```js\n",
  "code();\n",
  "```\n",
  "| a | b |\n",
  "| --- | --- |\n",
  "> quoted\n",
  "\n",
  "   ",
  "😀",
  "x".repeat(50),
  "[a link](https://e.example/?q=1) ",
  "`code. span` ",
  "[^1]: A note.\n",
  "---\n",
  "===\n",
  "\u3000",
  "\r\n",
);

describe("whatever the Markdown is", () => {
  test("every character is in exactly one part, and no part is longer than its size", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.integer({ min: 1, max: 120 }), (pieces, size) => {
        const markdown = pieces.join("");
        const chunks = chunkMarkdown(markdown, size, null);
        const isBlank = markdown.trim() === "";
        expect(chunks.length === 0).toBe(isBlank);
        if (!isBlank)
          expect(chunks.map(({ start, end }) => markdown.slice(start, end)).join("")).toBe(markdown);
        for (const { text } of chunks) {
          expect(text.length).toBeLessThanOrEqual(Math.max(size, 1));
        }
      }),
    );
  });

  test("its words are those of the parts", () => {
    const words = (text: string) => text.replaceAll(/\s+/g, "");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const markdown = pieces.join("");
        for (const { text, start, end } of chunkMarkdown(markdown, 90, null))
          expect(words(text)).toContain(words(markdown.slice(start, end)));
      }),
    );
  });

  test.for(["a. ", "- a\n", "# a\n", "> a\n", "| a |\n", "```\n", "a\n", "[", "- a\n  - b\n\n", "x", "`a. "])(
    "it takes steps in proportion to the text: %j",
    (pattern) => {
      expect(growthOf((text) => chunkMarkdown(text, 200, null), pattern)).toBeLessThan(5);
    },
  );
});
