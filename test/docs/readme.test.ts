// README.md leads to every page for users, and README.ja.md says the same in Japanese: the same commands, tables and links.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { blocksIn, PAGES, ROOT, read, stepsIn } from "./pages.ts";

const english = read("README.md");
const japanese = read("README.ja.md");
/** Links to files of the repository, without anchors. */
const linksIn = (page: string) =>
  [...page.matchAll(/\]\(([^)#]+)/g)].map(([, path]) => path!).filter((path) => !path.startsWith("http"));

test("README.md names every page", () => {
  const others = PAGES.filter((page) => page !== "README.md");
  expect(others.length).toBeGreaterThan(15);
  expect(others.filter((page) => !linksIn(english).includes(page))).toEqual([]);
});

test.each(PAGES)("%s names only files and sections that exist", (page) => {
  const links = [...read(page).matchAll(/\]\(([^)\s]*)\)/g)].map(([, link]) => link!.split("#"));
  const broken = links.filter(([path, anchor]) => {
    if (path!.startsWith("http")) return false;
    const target = path === "" ? page : join(dirname(page), path!);
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && target.endsWith(".md") && !anchorsIn(read(target)).includes(anchor);
  });
  expect(broken.map((link) => link.join("#"))).toEqual([]);
});

/** As GitHub makes them of headings. */
function anchorsIn(page: string): string[] {
  const headings = page.replaceAll(/^( *)```[\s\S]*?^\1```/gm, "").matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-"),
  );
}

/** Everything that has no language. A comment at the end of a line has one. */
const factsOf = (page: string) => ({
  commands: blocksIn(page)
    .filter(({ language }) => language === "console")
    .flatMap(({ lines }) => stepsIn({ lines }))
    .map(({ command, output }) => [command.replace(/^# .*$| +# .*$/, ""), ...output]),
  data: blocksIn(page)
    .filter(({ language }) => language === "json" || language === "text")
    .map(({ lines }) => lines),
  languages: blocksIn(page).map(({ language, reason, runBy, needs }) => [language, !reason, runBy, needs]),
  headings: [...page.matchAll(/^#+(?= )/gm)].map(([level]) => level),
  rows: page.split("\n").filter((line) => line.startsWith("|")).length,
  bullets: page.split("\n").filter((line) => line.startsWith("- ")).length,
  variables: [...new Set(page.match(/\b(?:KAMADO|AWS|NODE)_[A-Z_]+\b/g))].toSorted(),
  links: [...new Set(linksIn(page))].filter((path) => !/^README/.test(path)).toSorted(),
});

test("README.ja.md has the facts of README.md: commands, data, tables, variables and links", () => {
  expect(factsOf(japanese)).toEqual(factsOf(english));
});
