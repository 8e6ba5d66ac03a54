// A report as a reader wants it, and nothing in it that does more than be read.
import { expect, test } from "vitest";
import { markdownView } from "../../worker/console/pages/markdown-view.ts";

const shown = (markdown: string) => String(markdownView(markdown));

test("a report has its headings, lists in lists, links, emphasis and code", () => {
  const html = shown(
    "# A \\[fair\\]\n\n## Claims\n\n1. Many **came**.\n   - “5,200.” ([The fair](<https://a.example/>))\n2. None `x`\n\n> Partial.\n\nSee <https://b.example/?a=1&b=2> [1]\n",
  );
  expect(html).toContain("<h3>A [fair]</h3>");
  expect(html).toMatch(
    /<h4>Claims<\/h4><ol><li>Many <b>came<\/b>\.<ul><li>“5,200\.” \(<a href="https:\/\/a\.example\/"[^>]*>The fair<\/a>\)<\/li><\/ul><\/li><li>None <code>x<\/code><\/li><\/ol>/,
  );
  expect(html).toContain("<blockquote>Partial.</blockquote>");
  expect(html).toMatch(
    /href="https:\/\/b\.example\/\?a=1&amp;b=2"[^>]*>https:\/\/b\.example\/\?a=1&amp;b=2<\/a> \[1\]/,
  );
});

test("what is no report of ours stays text: other schemes, HTML, pictures, odd indentation", () => {
  const html = shown(
    '[x](<javascript:alert(1)>) [y](javascript:z) <img src=x onerror=y> ![p](https://e.example/p)\n\n    - deep\n- less\n\n[q"](<https://e.example/"onclick=x>)',
  );
  expect(html).not.toMatch(/<img|href="javascript|<a href="https:\/\/e\.example\/p|"onclick/);
  expect(html).toContain("<ul><li>deep</li><li>less</li></ul>");
});

test("the time grows with the length, whatever it repeats", () => {
  for (const one of ["[", "](<", "**", "`", "\\[", "- ", "<https:", "\n"])
    shown(one.repeat(100_000 / one.length));
}, 20_000);
