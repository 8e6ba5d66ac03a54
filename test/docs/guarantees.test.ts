// docs/guarantees.md keeps its word: every test it names is there.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const PAGE = read("docs/guarantees.md");

type Named = { file: string; title: string };

/** `test/x.test.ts`: "title"; "another one" — a title without a file belongs to the file before it. */
function namedIn(page: string): Named[] {
  const found: Named[] = [];
  for (const line of page.split("\n")) {
    let file: string | undefined;
    for (const [, path, title] of line.matchAll(/`(test\/[\w./-]+)`|"([^"]+)"/g)) {
      if (path !== undefined) file = path;
      else if (file !== undefined) found.push({ file, title: title! });
    }
  }
  return found;
}

/** Whether a source has a test, a group, a promise or a case of this name. */
function has(source: string, title: string): boolean {
  const name = title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(String.raw`(\(|\[|async|^)\s*["\`]${name}["\`]\s*[,(]`, "m").test(source);
}

const named = namedIn(PAGE);

test("every test it names exists", () => {
  const missing = named.filter(({ file, title }) => !existsSync(join(ROOT, file)) || !has(read(file), title));
  expect(missing).toEqual([]);
});

/** The rows of every table whose last column says what they are shown by. */
function promisesIn(page: string): string[] {
  const tables = page
    .split(/\n(?!\|)/)
    .map((block) => block.split("\n").filter((line) => line.startsWith("|")));
  return tables.filter(([head]) => head?.endsWith("| shown by |")).flatMap(([, , ...rows]) => rows);
}

test("every promise names a test, in every table of them", () => {
  const promises = promisesIn(PAGE);
  expect(promises.filter((row) => namedIn(row).length === 0)).toEqual([]);
  expect(promises.length).toBeGreaterThan(50);
  expect(named.length).toBeGreaterThan(80);
});

test("a promise without a test would be noticed, wherever it stands", () => {
  const bare = promisesIn(
    `${PAGE}\n\n## More\n\n| promise | shown by |\n|---|---|\n| it works | nothing |\n`,
  );
  expect(bare.filter((row) => namedIn(row).length === 0)).toEqual(["| it works | nothing |"]);
});

test("a title that is nowhere would be noticed", () => {
  const [one] = namedIn('x `test/docs/guarantees.test.ts`: "a promise nobody keeps" y');
  expect(has(read(one!.file).replace(one!.title, ""), one!.title)).toBe(false);
  expect(has(read(one!.file), "every test it names exists")).toBe(true);
});

test("every suite's exceptions are named", () => {
  const suites = ["conformance", "queue", "storage", "deliver"].flatMap((folder) =>
    readdirSync(join(ROOT, "test", folder)).map((name) => read(`test/${folder}/${name}`)),
  );
  const excepted = suites
    .filter((source) => /runSuite\(|promisesOn\(/.test(source))
    .flatMap((source) => [...source.matchAll(/^ {4}"([^"]+)":\s/gm)].map(([, promise]) => promise!));
  expect(new Set(excepted).size).toBeGreaterThan(0);
  expect(excepted.filter((promise) => !PAGE.includes(`"${promise}"`))).toEqual([]);
});

test("no secret is compared letter by letter", () => {
  const files = readdirSync(join(ROOT, "worker"), { recursive: true, encoding: "utf8" });
  const compared = files
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) => read(`worker/${name}`).split("\n"))
    .filter((line) =>
      /reveal\(\)\s*[!=]==|[!=]==\s*[\w.?]*reveal\(\)|authorization["')\]]*\s*[!=]==/.test(line),
    );
  expect(compared).toEqual([]);
});
