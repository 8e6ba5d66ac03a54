// Markdown as a reader sees it, and text of others as Markdown that only shows it.
import { describe, expect, test } from "vitest";
import { escaped, linkTo, plainOf } from "../../worker/job/plain-markdown.ts";

test.each([
  ["a link", 'The [town fair](https://x.example/a_(b) "t") opened.', "The town fair opened."],
  ["a link of a link's text with marks", "[a \\[b\\]](https://x.example)", "a [b]"],
  ["a picture", "![The hall](https://x.example/h.png) is old.", "The hall is old."],
  ["a picture in a link", "[![Hall](a.png)](https://x.example) is old.", "Hall is old."],
  ["an address by itself", "See <https://x.example/>.", "See https://x.example/."],
  ["emphasis", "**40** _old_ houses, ***all*** ~~red~~", "40 old houses, all red"],
  ["names with underscores", "call read_one_page and 2 * 3 * 4", "call read_one_page and 2 * 3 * 4"],
  ["headings", "## Visitors\n\nMany.", "Visitors\n\nMany."],
  ["a table", "| day | visitors |\n| --- | ---: |\n| 1 | 40 |", "| day | visitors |\n\n| 1 | 40 |"],
  ["backslashes", "1977\\. 5 \\* 3", "1977. 5 * 3"],
])("plain: %s", (_, markdown, plain) => {
  expect(plainOf(markdown)).toBe(plain);
});

test("plain: the time grows with the length, whatever it repeats", () => {
  for (const one of ["[", "![", "](", "**", "_a", "[a](", "\\["]) plainOf(one.repeat(50_000 / one.length));
}, 20_000);

describe("a text of others", () => {
  test.each([
    ["[x](javascript:1)", "\\[x\\](javascript:1)"],
    ["![p](https://e.example/p)", "!\\[p\\](https\\://e.example/p)"],
    ["<script>a</script> &lt;", "\\<script\\>a\\</script\\> \\&lt;"],
    ["www.evil.example or a@b.example", "www\\.evil.example or a\\@b.example"],
    ["`code` | cell\n\n# Heading", "\\`code\\` \\| cell \\# Heading"],
    ["- item", "\\- item"],
    ["12. item", "12\\. item"],
    ["127.0.0.1 answered 404. Stop!", "127.0.0.1 answered 404. Stop!"],
    ["=== line", "\\=== line"],
    ["right\u202eto left\u0000", "right to left"],
  ])("%j", (text, markdown) => {
    expect(escaped(text)).toBe(markdown);
  });

  test.each([
    ["javascript:alert(1)", "x"],
    ["data:text/html,x", "x"],
    ["nothing", "x"],
    [null, "x"],
    ["https://e.example/a b>(c)\\", "[x](<https://e.example/a%20b%3E(c)/>)"],
  ])("a link to %j", (address, markdown) => {
    expect(linkTo(address, "x")).toBe(markdown);
  });

  test("an address by itself stands there once", () => {
    expect(linkTo("https://e.example/a?b=1", "https://e.example/a?b=1")).toBe("<https://e.example/a?b=1>");
  });
});
