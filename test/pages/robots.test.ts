// What a robots.txt says to us, and how much of it is kept. How it is fetched is tested with the pages: page-reader.test.ts.
import { expect, test } from "vitest";
import { ourPart, Robots } from "../../worker/pages/robots.ts";

const NAMES = new Set(["kamado", "mybot"]);
const never = new AbortController().signal;

/** Sites whose robots.txt is this text. */
function robotsSaying(text: (origin: string) => string) {
  const asked: string[] = [];
  const robots = new Robots({
    names: NAMES,
    clock: { now: () => 0 },
    async fetch(url) {
      asked.push(url.origin);
      return { status: 200, headers: {}, bytes: Buffer.from(text(url.origin)), url: url.href };
    },
  });
  const rulesOf = (url: string) => robots.rulesFor(new URL(url), new URL(url), never);
  return { asked, rulesOf, isAllowed: async (url: string) => (await rulesOf(url)).isAllowed(new URL(url)) };
}

test.each([
  ["everything where nothing is said", "", [true, true]],
  ["what a byte order mark stands before", "\ufeffUser-agent: *\nDisallow: /a", [false, true]],
  ["lines of every system", "User-agent: *\r\nDisallow: /a\rDisallow: /b", [false, false]],
  ["comments and spaces", "  User-Agent :  *  # all\n\tDISALLOW:/a # not this", [false, true]],
  ["words that are often mistyped", "useragent: *\ndissalow: /a\nDisalow: /b", [false, false]],
  ["several names over one group", "User-agent: x\nUser-agent: KAMADO\nDisallow: /a", [false, true]],
  ["a name with a version", "User-agent: Kamado/0.1 (x)\nDisallow: /a", [false, true]],
  ["but no longer name", "User-agent: Kamadoo\nDisallow: /a", [true, true]],
  [
    "our groups together",
    "User-agent: kamado\nDisallow: /a\n\nUser-agent: mybot\nDisallow: /b",
    [false, false],
  ],
  [
    "our group in place of the one for all",
    "User-agent: kamado\nDisallow: /b\n\nUser-agent: *\nDisallow: /a",
    [true, false],
  ],
  ["our group without a rule", "User-agent: *\nDisallow: /\nUser-agent: kamado", [true, true]],
  ["an empty rule", "User-agent: kamado\nDisallow:\nUser-agent: *\nDisallow: /", [true, true]],
  [
    "other fields within a group",
    "User-agent: kamado\nSitemap: x\nUser-agent: x\nHost: y\nDisallow: /a",
    [false, true],
  ],
  ["the longest of several rules", "User-agent: *\nDisallow: /\nAllow: /a", [true, false]],
  ["wildcards", "User-agent: *\nDisallow: /*a$\nDisallow: *b", [false, false]],
  ["a page in place of the file", "<!doctype html><p>User-agent: *", [true, true]],
])("is read with %s", async (_, text, expected) => {
  const { isAllowed } = robotsSaying(() => text);
  expect(await Promise.all(["/a", "/b"].map((path) => isAllowed(`https://example.org${path}`)))).toEqual(
    expected,
  );
});

test("a file that is made to take long is matched with less of an address", async () => {
  const long = `/${"a".repeat(1_500)}`;
  const rule = `User-agent: *\nDisallow: ${long}\n`;
  const isAllowedBy = (text: string) => robotsSaying(() => text).isAllowed(`https://example.org${long}b`);
  expect(await isAllowedBy(rule)).toBe(false);
  expect(await isAllowedBy(rule + "Disallow: /*x*x*x*x*y\n".repeat(20_000))).toBe(true);
});

test("may not forbid itself", async () => {
  const { isAllowed } = robotsSaying(() => "User-agent: *\nDisallow: /");
  expect(await isAllowed("https://example.org/robots.txt")).toBe(true);
});

test("is kept only as far as it is for us, whatever its writer made of it", () => {
  // Each rule counts for each name above it: these would be a billion of them.
  const text = `${"User-agent: x\n".repeat(30_000)}${"Disallow: /a\n".repeat(30_000)}`;
  expect(ourPart(text, NAMES)).toBe("");
  const ours = ourPart(`${"User-agent: kamado\n".repeat(100)}${"Disallow: /a\n".repeat(100)}`, NAMES);
  expect(ours.match(/user-agent/g)).toHaveLength(1);
});

test.each([
  ["a thousand sites", 1_200, () => ""],
  ["eight million characters", 40, () => `User-agent: *\n${`Disallow: /${"x".repeat(900)}\n`.repeat(500)}`],
])("is kept of %s, and then asked again", async (_, sites, text) => {
  const { asked, rulesOf } = robotsSaying(text);
  for (let n = 0; n < sites; n++) await rulesOf(`https://${n}.example/`);
  asked.length = 0;
  await rulesOf(`https://${sites - 1}.example/`);
  await rulesOf("https://0.example/");
  expect(asked).toEqual(["https://0.example"]);
});
