// `kamado read`: what a person may name, what is printed of it in which order, and what counts as failed. What is read out of a page is
// tested in test/pages/.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type ReadOptions, readSources } from "../../worker/cli/commands/read.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { Obstacle } from "../../worker/job/handler.ts";
import { createPages, type Documents, pageOf } from "../../worker/pages/article.ts";
import { known } from "../fakes/known.ts";
import { type Respond, startReceiver } from "../fakes/receiver.ts";
import { runKamado } from "./process.ts";

const html = (title: string, body: string) =>
  `<!doctype html><html lang="en"><title>${title}</title><main><h1>${title}</h1>${body}</main></html>`;
const ARTICLE = html("A quiet town", '<p>The mill is <a href="/mill">old</a>.<p>The river is long.');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "kamado-read-"));
  const files: Record<string, string | Uint8Array> = {
    "article.html": ARTICLE,
    "packed.html.gz": gzipSync(ARTICLE),
    "notes.md": "---\ntitle: Notes\n---\nSome *notes*.\n",
    "plain.txt": "<b> is a tag.\n",
    "empty.html": html("", ""),
  };
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
});
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

async function read(sources: string[], options: Partial<ReadOptions> = {}) {
  const [out, errors]: [string[], string[]] = [[], []];
  const code = await readSources(sources, {
    format: "markdown",
    document,
    stdin: Readable.from([]),
    print: (text) => void out.push(text),
    complain: (text) => void errors.push(text),
    ...options,
  });
  return { code, out: out.join(""), errors: errors.join("") };
}

/** Reads what is between the tags, without a thread. */
const document: Documents["document"] = async ({ bytes, url = null }) => {
  const text = Buffer.from(bytes)
    .toString()
    .replaceAll(/<[^>]*>/g, "")
    .trim();
  if (text === "") throw new KamadoError("page_without_text", "There is no text.");
  return pageOf({ text, markdown: `*${text}*`, title: "A title", url });
};

const linesOf = ({ out }: { out: string }) =>
  out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

async function site(pages: Record<string, string | Respond>) {
  const receiver = await startReceiver((received, response, request) => {
    const page = pages[received.path];
    if (typeof page === "function") return page(received, response, request);
    response.writeHead(page === undefined ? 404 : 200, { "content-type": "text/html" }).end(page);
  });
  onTestFinished(() => receiver.close());
  return receiver;
}

const MARKDOWN = "# A quiet town\n\nThe mill is [old](/mill).\n\nThe river is long.\n";

describe("a file", () => {
  const pages = createPages();
  const real = { document: pages.document };

  test("is Markdown with its title, of whatever format it is", async () => {
    expect(await read([at("packed.html.gz")], real)).toEqual({ code: 0, out: MARKDOWN, errors: "" });
    expect((await read([at("notes.md")], real)).out).toBe("# Notes\n\nSome *notes*.\n");
    expect((await read([at("plain.txt")], { ...real, format: "text" })).out).toBe("<b> is a tag.\n");
  });

  test("gives the very text that a handler gets of its HTML", async () => {
    const { text, markdown } = await pages.article(ARTICLE);
    const json = linesOf(await read([at("article.html")], { ...real, format: "json" }));
    expect(json).toMatchObject([{ text, markdown }]);
  });

  test("has whole links where it is said where it came from", async () => {
    const { out } = await read([at("article.html")], { ...real, baseUrl: "https://example.org/a/b" });
    expect(out).toContain("[old](https://example.org/mill)");
  });

  test("may be standard input, once, a file: address or a data: URI", async () => {
    const stdin = () => Readable.from([Buffer.from("<p>In")]);
    expect((await read(["-"], { stdin: stdin(), format: "text" })).out).toBe("In\n");
    await expect(read(["-", "-"], { stdin: stdin() })).rejects.toMatchObject({ code: "invalid_input" });
    const file = String(pathToFileURL(at("plain.txt")));
    expect((await read([file], { format: "text" })).out).toBe("is a tag.\n");
    expect((await read(["data:text/html,%3Cp%3EData"], { format: "text" })).out).toBe("Data\n");
  });
});

describe("several sources", () => {
  test("are printed in their order, each under its name", async () => {
    const slow: Respond = (_, response) => void setImmediate(() => response.end(ARTICLE));
    const { url } = await site({ "/slow": slow });
    const { out } = await read([`${url}/slow`, at("notes.md"), at("article.html")]);
    const names = [...out.matchAll(/<!-- (.*) -->/g)].map(([, name]) => name);
    expect(names).toEqual([`${url}/slow`, at("notes.md"), at("article.html")]);
    expect(out.match(/\n---\n\n<!-- /g)).toHaveLength(2);
    const text = await read([at("notes.md"), at("plain.txt")], { format: "text" });
    expect(text.out).toMatch(
      /^===== .*notes\.md =====\n\n(?:.*\n)*Some \*notes\*\.\n\n===== .*plain\.txt =====\n\nis a tag\.\n$/,
    );
  });

  test("are lines of JSON in their order, with everything that is known", async () => {
    const lines = linesOf(await read([at("article.html"), at("none"), at("notes.md")], { format: "json" }));
    expect(lines).toMatchObject([
      { source: at("article.html"), title: "A title", url: null, format: "html", obstacle: null },
      { source: at("none"), error: { code: "invalid_input", message: "There is no such file." } },
      { source: at("notes.md"), text: expect.stringContaining("Some *notes*.") },
    ]);
    expect(Object.keys(lines[0])).toEqual(
      "source title byline site published language canonicalUrl url format obstacle text markdown".split(" "),
    );
    expect(lines[1].error.hint).toMatch(/./);
  });

  test("are printed although one of them cannot be read, which is said", async () => {
    const { code, out, errors } = await read([at("none"), folder, at("empty.html"), at("plain.txt")]);
    expect([code, out]).toEqual([1, `<!-- ${at("plain.txt")} -->\n\n# A title\n\n*is a tag.*\n`]);
    expect(errors).toContain(`kamado: invalid_input: ${at("none")}: There is no such file.\n`);
    expect(errors).toContain(`kamado: invalid_input: ${folder}: This is a folder.\nGive the files in it`);
    expect(errors).toContain(`kamado: page_without_text: ${at("empty.html")}: `);
  });
});

describe("an address", () => {
  test("may be in one's own network, and says where it is", async () => {
    const { url } = await site({ "/a": ARTICLE });
    const [line] = linesOf(await read([`${url}/a#part`], { format: "json" }));
    expect(line).toMatchObject({ source: `${url}/a#part`, url: `${url}/a`, title: "A title" });
  });

  test("leads to no other host there, unless that one is named in its own right", async () => {
    const secret = await site({ "/": ARTICLE });
    const { url } = await site({
      "/": (_, response) => void response.writeHead(302, { location: secret.url }).end(),
    });
    const { code, out, errors } = await read([url, secret.url]);
    expect([code, out]).toEqual([1, expect.stringMatching(new RegExp(`^<!-- ${secret.url} -->`))]);
    expect(errors).toMatch(/^kamado: address_refused: .*\nOnly an address that you name/);
    // One time for itself, with its robots.txt.
    expect(secret.received.map(({ path }) => path).toSorted()).toEqual(["/", "/robots.txt"]);
  });

  test("is asked for with the headers that the owner set for it, and under the owner's name", async () => {
    const { url, received } = await site({ "/wiki/a": ARTICLE });
    const destinations = [
      known(`${url}/wiki/`, { headers: { authorization: "Bearer 1" }, allowPrivate: false }),
    ];
    await read([`${url}/wiki/a`], { destinations, userAgent: "Mine/1" });
    expect(received.at(-1)!.headers).toMatchObject({ authorization: "Bearer 1", "user-agent": "Mine/1" });
  });

  test("that its robots.txt closes, that is not there or that does not answer is said, each with its code", async () => {
    const { url } = await site({ "/robots.txt": "User-agent: *\nDisallow: /closed", "/open": ARTICLE });
    const gone = await site({});
    await gone.close();
    const sources = [`${url}/closed`, `${url}/none`, `${gone.url}/`, "ftp://example.org/", `${url}/open`];
    const lines = linesOf(await read(sources, { format: "json" }));
    expect(lines.map(({ error }) => error?.code)).toEqual([
      "robots_refused",
      "fetch_rejected",
      "fetch_failed",
      "unsupported_address",
      undefined,
    ]);
  });
});

describe("a page with something in its way", () => {
  const blocked = (obstacle: Obstacle): Partial<ReadOptions> => ({
    document: async () => pageOf({ text: "What stands there.", obstacle }),
  });

  test.each(["javascript", "consent", "error"] as const)(
    "(%s) has failed, and JSON has what stands there",
    async (obstacle) => {
      expect(await read([at("article.html")], blocked(obstacle))).toMatchObject({
        code: 1,
        out: "",
        errors: expect.stringMatching(/^kamado: page_blocked: .*article\.html: .*\n.*in a browser/),
      });
      const { code, out } = await read([at("article.html")], { ...blocked(obstacle), format: "json" });
      expect([code, JSON.parse(out)]).toEqual([
        1,
        expect.objectContaining({
          obstacle,
          text: "What stands there.",
          error: expect.objectContaining({ code: "page_blocked" }),
        }),
      ]);
    },
  );

  test("(paywall) is printed as far as it is shown, with a warning", async () => {
    expect(await read([at("article.html")], blocked("paywall"))).toEqual({
      code: 0,
      out: "What stands there.\n",
      errors: expect.stringMatching(
        /^kamado: .*article\.html: only the part is shown that needs no subscription\./,
      ),
    });
  });
});

test("on a terminal nothing in a page acts on it, and in a pipe it is as it is", async () => {
  const page = html("T", "<p>a\u009b31mb</p>");
  const source = `data:text/html;charset=utf-8,${encodeURIComponent(page)}`;
  expect((await read([source], { isTerminal: true })).out).toContain("a\\u009b31mb");
  expect((await read([source])).out).toContain("a\u009b31mb");
});

test("the command reads files and standard input, and its exit code says whether all of them", async () => {
  const run = (...args: string[]) => runKamado(["read", ...args], {}, { input: ARTICLE, cwd: folder });
  expect(await run("-", "--base-url", "https://example.org/", "--format", "text")).toEqual({
    code: 0,
    out: "The mill is old.\nThe river is long.\n",
    errors: "",
  });
  expect(await run("article.html", "nothing.html")).toMatchObject({
    code: 1,
    out: expect.stringContaining("mill"),
  });
  for (const wrong of [[], ["-", "--format", "xml"], ["-", "--base-url", "example.org"], ["-", "-"]])
    expect([wrong, (await run(...wrong)).code]).toEqual([wrong, 2]);
}, 60_000);

test("the command loads neither the AWS SDK nor an engine", () => {
  const seen = new Set<string>();
  const packages = new Set<string>();
  const follow = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    // What is imported when it is needed does not count.
    for (const [, path] of readFileSync(file, "utf8").matchAll(
      /^(?:import|export) (?!type )(?:[^;"]* from )?"([^"]+)";/gm,
    ))
      if (path!.startsWith(".")) follow(resolve(dirname(file), path!));
      else packages.add(path!);
  };
  follow(resolve(import.meta.dirname, "../../worker/cli/commands/read.ts"));
  expect(seen.size).toBeGreaterThan(20);
  expect([...packages].filter((name) => /aws|smithy|llama|linkedom|readability|pdf/.test(name))).toEqual([]);
  expect([...seen].filter((file) => /worker\/(engine|queue|runner|aws)\//.test(file))).toEqual([]);
});
