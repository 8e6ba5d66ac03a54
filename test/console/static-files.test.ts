// Files that pages load: kept by browsers for ever, and never an old one.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { createStaticFiles } from "../../worker/console/static-files.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-assets-"));
const write = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return { [name]: join(folder, name) };
};

test("a file's address changes with its content", async () => {
  const before = createStaticFiles(write("page.css", "a{}")).href("page.css");
  const now = createStaticFiles(write("page.css", "b{}"));
  expect(before).toMatch(/^\/assets\/page\.[0-9a-f]{12}\.css$/);
  expect(now.href("page.css")).not.toBe(before);
  const answer = await now.app.request(now.href("page.css"));
  expect([await answer.text(), answer.headers.get("cache-control")]).toEqual([
    "b{}",
    expect.stringContaining("immutable"),
  ]);
  // The address of before has nothing: what it held is gone.
  expect((await now.app.request(before)).status).toBe(404);
});

test("a long one is packed for browsers that can read it", async () => {
  const text = "a { color: red }\n".repeat(100);
  const { app, href } = createStaticFiles(write("long.css", text));
  const packed = await app.request(href("long.css"), { headers: { "accept-encoding": "gzip, br" } });
  expect(packed.headers.get("content-encoding")).toBe("gzip");
  expect(gunzipSync(await packed.bytes()).toString()).toBe(text);
  expect(await (await app.request(href("long.css"))).text()).toBe(text);
});

test.each([
  "/assets/page.css",
  "/assets/..%2f..%2fpackage.json",
  "/assets/%2e%2e/secret",
  "/assets/",
  "/assets/__proto__",
])("%s is none", async (path) => {
  const { app } = createStaticFiles(write("page.css", "a{}"));
  expect((await app.request(path)).status).toBe(404);
});

test("a page that names a file which is not there fails in the tests, and not in a browser", () => {
  expect(() => createStaticFiles({}).href("none.css")).toThrow("none.css");
});
