// Markdown as a model reads it.
import { expect, test } from "vitest";
import { proseOf } from "../../worker/job/prose.ts";

test.for([
  ["# The bakery\n\nIt **opened** in _1977_.", "The bakery\nIt opened in 1977."],
  ['See [the bakery](https://a.example/b_(c)?d=1 "Title") now.', "See the bakery now."],
  ["[![A loaf](a.png)](/loaf) and ![](b.png)<https://a.example/>", "A loaf and https://a.example/"],
  ["- one\n  * two\n+ [x] three\n1. four", "one\ntwo\nthree\n1. four"],
  ["> It *rained*.\n> > Twice.", "It rained.\nTwice."],
  ["| City | People |\n|---|--:|\n| Kyoto | 1.4 \\| 1.5 |\n", "City | People\nKyoto | 1.4 | 1.5"],
  ["```js\nconst a = **b**;\n# no\n```\nThen.", "const a = **b**;\n# no\nThen."],
  ["Call `run_it()` and ``a`b``.", "Call run_it() and ``a`b``."],
  ["2 \\* 3 \\* 4 = 24, snake_case_name, a * b * c", "2 * 3 * 4 = 24, snake_case_name, a * b * c"],
  ["[a \\[b\\]](https://x.example) in read_one_page", "a [b] in read_one_page"],
  ["1\\. Not a list \\[x\\](y)", "1. Not a list [x](y)"],
  ["**東京**は~~小さい~~大きい。", "東京は小さい大きい。"],
  ["one\n\n---\n\n* * *\n\ntwo", "one\ntwo"],
  ["", ""],
] as const)("%j", ([markdown, prose]) => expect(proseOf(markdown)).toBe(prose));

// A pattern that takes quadratic time would take minutes here.
test.for([
  "[",
  "![",
  "[a](",
  "*",
  "**a",
  "`",
  "`a",
  "_a",
  "~~a",
  "\\",
  "| ",
  "|---",
  "> ",
  "[a](b(",
  "<https://",
  " ",
  "***",
])("a long text takes no longer than its length asks for: %j", (piece) =>
  expect(typeof proseOf(`a${piece.repeat(300_000 / piece.length)}`)).toBe("string"),
);
