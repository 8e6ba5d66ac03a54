import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { destinationFor, isUnder, loadDestinations } from "../../worker/outbound/destinations.ts";
import { known } from "../fakes/known.ts";
import fc from "../properties.ts";

const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
const OLDER = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;

function file(content: unknown, others: Record<string, string> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "kamado-destinations-"));
  for (const [name, text] of Object.entries(others)) writeFileSync(join(folder, name), text);
  const path = join(folder, "destinations.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

describe("the destinations file", () => {
  test("without a file there are no destinations", () => expect(loadDestinations(undefined)).toEqual([]));

  test("may begin with a byte order mark, and be UTF-16 as Windows writes it", () => {
    const path = file(`\ufeff${JSON.stringify([{ match: "https://a.b/" }])}`);
    expect(loadDestinations(path)).toMatchObject([{ match: "https://a.b/" }]);
    writeFileSync(path, `\ufeff${JSON.stringify([{ match: "https://c.d/" }])}`, "utf16le");
    expect(loadDestinations(path)).toMatchObject([{ match: "https://c.d/" }]);
  });

  test("gives secrets and headers, from the file itself or from files beside it", () => {
    const path = file(
      [
        {
          match: "https://todo.home",
          secretFile: "current",
          previousSecrets: [OLDER, { file: "older" }],
          headers: { Authorization: { file: "token" }, "X-Home": "yes" },
          allowPrivate: true,
          maxPerSecond: 5,
        },
      ],
      { current: `${SECRET}\n`, older: OLDER, token: "Bearer abc\n" },
    );
    const [one] = loadDestinations(path);
    expect(one).toMatchObject({ match: "https://todo.home/", allowPrivate: true, maxPerSecond: 5 });
    expect(one!.secrets.map((secret) => secret.reveal())).toEqual([SECRET, OLDER, OLDER]);
    expect(Object.entries(one!.headers).map(([name, value]) => [name, value.reveal()])).toEqual([
      ["authorization", "Bearer abc"],
      ["x-home", "yes"],
    ]);
  });

  test("reads a secret's file again when it changed; while the file is gone or broken, the secret stays as it was", () => {
    const path = file(
      [{ match: "https://a.b/", secretFile: "current", headers: { authorization: { file: "token" } } }],
      { current: SECRET, token: "Bearer abc" },
    );
    const [one] = loadDestinations(path);
    const own = join(path, "..", "current");
    const signing = () => one!.secrets[0]!.reveal();
    writeFileSync(own, OLDER);
    expect(signing()).toBe(OLDER);
    writeFileSync(own, "whsec_broken");
    expect(signing()).toBe(OLDER);
    rmSync(own);
    expect(signing()).toBe(OLDER);
    // As a mounted secret changes: another file under the same name.
    writeFileSync(`${own}.new`, SECRET);
    renameSync(`${own}.new`, own);
    expect(signing()).toBe(SECRET);
    writeFileSync(join(path, "..", "token"), "Bearer next\n");
    expect(one!.headers.authorization!.reveal()).toBe("Bearer next");
    expect(inspect(one, { depth: 9, showHidden: true })).not.toMatch(/BwcH|Bearer/);
  });

  test("never shows a secret, however it is printed", () => {
    const destinations = loadDestinations(
      file([{ match: "https://a.b/", secret: SECRET, headers: { "x-token": "t0k3n" } }]),
    );
    for (const shown of [
      JSON.stringify(destinations),
      inspect(destinations, { depth: 9, showHidden: true }),
      `${destinations[0]!.secrets}`,
    ])
      expect(shown).not.toMatch(/BwcH|t0k3n/);
  });

  test.each([
    ["{", /not JSON/],
    [{}, /the value: must be a list of destinations/],
    [[{}], /0\.match/],
    [[{ match: "todo.home" }], /0\.match: expected https/],
    [[{ match: "https://user:pw@todo.home/" }], /0\.match/],
    [[{ match: "https://a.b/" }, { match: "https://A.B" }], /same match/],
    [[{ match: "https://a.b/", secret: "whsec_c2hvcnQ=" }], /0\.secret: expected whsec_.*got a string of 14/],
    [[{ match: "https://a.b/", secret: SECRET, secretFile: "x" }], /0\.secretFile: give either/],
    [[{ match: "https://a.b/", secretFile: "missing" }], /0\.secretFile: .*ENOENT/],
    [[{ match: "https://a.b/", secretFile: "bad" }], /0\.secretFile: expected whsec_.*in bad/],
    [[{ match: "https://a.b/", headers: { Host: "evil" } }], /0\.headers/],
    [[{ match: "https://a.b/", headers: { "x-a": "1\r\nx-b: 2" } }], /0\.headers\.x-a/],
    [[{ match: "https://a.b/", sceret: SECRET }], /"sceret"; did you mean secret\?/],
    [[{ match: "https://a.b/", allow_private: true }], /did you mean allowPrivate\?/],
    [[{ match: "https://a.b/", colour: "red" }], /"colour"; the fields are match, secret, secretFile, /],
  ])("%j is refused, naming the field", (content, message) => {
    const path = file(content, { bad: "letmein" });
    expect(() => loadDestinations(path)).toThrowError(message);
    expect(() => loadDestinations(path)).toThrowError(/KAMADO_DESTINATIONS_FILE/);
    expect(() => loadDestinations(path)).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(/a JSON list; an entry is .*README/) }),
    );
    expect(() => loadDestinations(path)).not.toThrowError(/letmein|c2hvcnQ/);
  });
});

describe("an address belongs to an entry", () => {
  test.each([
    ["https://todo.home/", "https://todo.home/todos/1?x=1#y", true],
    ["https://todo.home/", "https://todo.home", true],
    ["https://todo.home/", "https://TODO.home:443/a", true],
    ["https://todo.home/api", "https://todo.home/api", true],
    ["https://todo.home/api", "https://todo.home/api/x", true],
    ["https://todo.home/api/", "https://todo.home/api", true],
    ["https://todo.home/api", "https://todo.home/apix", false],
    ["https://todo.home/", "https://todo.home.evil.com/", false],
    ["https://todo.home/", "https://todo.home@evil.com/", false],
    ["https://todo.home/", "https://evil.com/https://todo.home/", false],
    ["https://todo.home/", "https://todo.home:8443/", false],
    ["https://todo.home/", "http://todo.home/", false],
    ["https://todo.home/", "https://sub.todo.home/", false],
    ["https://todo.home/api", "https://todo.home/api/../admin", false],
    ["https://todo.home/api", "https://todo.home/api/%2e%2e/admin", false],
    ["https://todo.home/api", "https://todo.home/api/..%2fadmin", false],
    ["https://todo.home/api", "https://todo.home/api/%252e%252e%255cadmin", false],
    ["https://todo.home/api", "https://todo.home/api/..;/admin", false],
    ["https://todo.home/api", "https://todo.home/api/a%2Fb", true],
    ["https://todo.home/api", "https://todo.home/api/v1..2", true],
    ["https://todo.home/", "todo.home", false],
    ["data:text/plain,a", "data:text/plain,a", false],
  ])("%s, %s: %s", (base, url, expected) => {
    expect(isUnder(base, url)).toBe(expected);
  });

  test("the longest match decides", () => {
    const all = [known("https://a.b/"), known("https://a.b/x/y"), known("https://a.b/x")];
    expect(destinationFor(all, "https://a.b/x/y/z")?.match).toBe("https://a.b/x/y");
    expect(destinationFor(all, "https://a.b/x/yy")?.match).toBe("https://a.b/x");
    expect(destinationFor(all, "https://a.b/")?.match).toBe("https://a.b/");
    expect(destinationFor(all, "https://c.d/")).toBeUndefined();
  });

  test("only with the same origin; everything below its path does", () => {
    const segment = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
    const path = fc.array(segment, { maxLength: 4 }).map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(fc.webUrl(), path, path, fc.webUrl(), (origin, prefix, below, other) => {
        const base = new URL(prefix, origin).href;
        expect(isUnder(base, `${base.replace(/\/$/, "")}${below}`)).toBe(true);
        if (isUnder(base, other)) expect(new URL(other).origin).toBe(new URL(base).origin);
        expect(isUnder(base, base.replace(new URL(base).host, `${new URL(base).host}.evil.com`))).toBe(false);
      }),
      { numRuns: 50 },
    );
  });
});
