// How articles are scored, and the table over a folder of marked pages.
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { articles, scoreOf, totalOf } from "../../bench/articles.ts";
import { Session } from "../../bench/session.ts";

describe("a score", () => {
  test.for([
    ["the same text", "a b c d e", "a b c d e", 1, 1],
    ["punctuation and white space do not count", "a, b\n\nc d!", "a b c d", 1, 1],
    ["case counts", "A b c d", "a b c d", 0, 0],
    ["half of what was found is right", "a b c d e f g x", "a b c d e", 2 / 5, 1],
    ["a run counts as often as it stands there", "a b c d a b c d", "a b c d", 1 / 5, 1],
    ["a text of fewer words is one run", "a b", "a b", 1, 1],
    ["nothing found", "", "a b c d e", 0, 0],
    ["other scripts have words, too", "パンと塩 são é", "パンと塩 são é", 1, 1],
  ] as const)("%s", ([, found, marked, precision, recall]) => {
    expect(scoreOf(found, marked)).toEqual({ precision, recall });
  });

  test("of several pages is the harmonic mean of the mean precision and the mean recall", () => {
    const total = totalOf([
      { precision: 1, recall: 1 },
      { precision: 0.5, recall: 1 },
    ]);
    expect(total).toEqual({ precision: 0.75, recall: 1, f1: (2 * 0.75) / 1.75 });
  });
});

const newFolder = () => mkdtempSync(join(tmpdir(), "kamado-articles-"));

const PARAGRAPH =
  "The bakery on the corner sells forty loaves a day, most of them before nine, and closes when they are gone.";

test("a folder of marked pages is measured: what was found in each, and by Readability alone", async () => {
  const folder = newFolder();
  const paragraphs = Array.from({ length: 8 }, (_, index) => `${index + 1}. ${PARAGRAPH}`);
  const page = `<title>Bread</title><nav><a href=/>Home</a></nav><article>${paragraphs.map((text) => `<p>${text}</p>`).join("")}</article>`;
  mkdirSync(join(folder, "html"));
  writeFileSync(join(folder, "html", "bread.html.gz"), gzipSync(page));
  const truth = { bread: { articleBody: paragraphs.join("\n\n"), url: "https://x.y/bread" } };
  writeFileSync(join(folder, "ground-truth.json"), JSON.stringify(truth));
  const lines: string[] = [];
  const figures = await articles.run({ pages: folder }, new Session((text) => void lines.push(text)));
  expect(figures).toMatchObject({
    pages: 1,
    ways: [
      { name: "Kamado", precision: 1, recall: 1, f1: 1 },
      { name: "Readability alone", recall: 1 },
    ],
  });
  expect(lines.join("\n")).toMatch(/F1: 1\.0000 .*of the time limit/s);
});

test("a folder that is not there, or holds no pages, is refused", async () => {
  const session = new Session(() => {});
  await expect(articles.run({}, session)).rejects.toMatchObject({ code: "config_invalid" });
  await expect(articles.run({ pages: "/nowhere" }, session)).rejects.toThrow("there is no folder /nowhere");
  await expect(articles.run({ pages: newFolder() }, session)).rejects.toThrow("ground-truth.json");
});
