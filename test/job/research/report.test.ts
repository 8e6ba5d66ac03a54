// What the report of a research shows of texts of others: what they say, and nothing that does anything.
import { describe, expect, test } from "vitest";
import { escaped, linkTo } from "../../../worker/job/research/report.ts";

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
});
