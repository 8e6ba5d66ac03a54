// A session lasts as long as it should: over a restart, and not over a sign-out, another token or its time.
import { mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MOST_SESSIONS, SESSION_SECONDS, Sessions } from "../../worker/access/sessions.ts";
import { secret } from "../../worker/config/secret.ts";
import fc from "../properties.ts";

const TOKEN = secret("a-token-of-some-length");
const READ = secret("another-token-to-read");
const folder = () => join(mkdtempSync(join(tmpdir(), "kamado-sessions-")), "data", "sessions.json");
let now = Date.UTC(2026, 0, 1);
const open = (file?: string, tokens: object = { token: TOKEN, readToken: READ }) =>
  new Sessions({ ...tokens, file, wall: () => now });

describe("a session", () => {
  test("lets its owner do what his token does", () => {
    const sessions = open();
    expect(sessions.find(sessions.begin(TOKEN))).toEqual({ mayChange: true });
    expect(sessions.find(sessions.begin(READ))).toEqual({ mayChange: false });
  });

  test("outlives a restart, and is known to another worker of the same folder", () => {
    const file = folder();
    const [first, other] = [open(file), open(file)];
    const value = first.begin(TOKEN);
    expect([other.find(value), open(file).find(value)]).toEqual([{ mayChange: true }, { mayChange: true }]);
    other.end(value);
    expect([first.find(value), open(file).find(value)]).toEqual([undefined, undefined]);
  });

  test("ends with its time", () => {
    const sessions = open();
    const value = sessions.begin(TOKEN);
    now += SESSION_SECONDS * 1_000 - 1;
    expect(sessions.find(value)).toBeDefined();
    now += 1;
    expect(sessions.find(value)).toBeUndefined();
  });

  test("ends with its token, and no other one's does", () => {
    const file = folder();
    const before = open(file);
    const [value, reader] = [before.begin(TOKEN), before.begin(READ)];
    const after = open(file, { token: secret("the-token-of-later-on"), readToken: READ });
    expect([after.find(value), after.find(reader)]).toEqual([undefined, { mayChange: false }]);
    // Nor does a token that is given away for reading now give more to a session of before.
    expect(open(file, { readToken: TOKEN }).find(value)).toEqual({ mayChange: false });
  });
});

test("there are so many of them and no more: the oldest ends", () => {
  const sessions = open();
  const values = Array.from({ length: MOST_SESSIONS + 3 }, () => sessions.begin(TOKEN));
  expect(values.map((value) => sessions.find(value) !== undefined).indexOf(true)).toBe(3);
});

test("what is kept lets nobody in, and only its owner can read it", () => {
  const file = folder();
  const value = open(file).begin(TOKEN);
  const kept = readFileSync(file, "utf8");
  expect(kept).not.toContain(value);
  expect(kept).not.toContain(TOKEN.reveal());
  expect(statSync(file).mode & 0o777).toBe(0o600);
  for (const { id } of JSON.parse(kept).sessions) expect(open(file).find(id)).toBeUndefined();
});

test.each(["", "{", "[]", '{"sessions":[{"id":1}]}', "\u0000"])(
  "a file that holds %j costs the sessions in it and nothing else",
  (content) => {
    const file = join(mkdtempSync(join(tmpdir(), "kamado-sessions-")), "sessions.json");
    writeFileSync(file, content);
    const sessions = open(file);
    expect(sessions.find("x".repeat(43))).toBeUndefined();
    const value = sessions.begin(TOKEN);
    expect(open(file).find(value)).toEqual({ mayChange: true });
  },
);

test("where nothing can be written they live as long as the process", () => {
  const sessions = open("/dev/null/sessions.json");
  expect(sessions.find(sessions.begin(TOKEN))).toEqual({ mayChange: true });
});

test("no other value is one, however near it is", () => {
  const sessions = open();
  const value = sessions.begin(TOKEN);
  fc.assert(
    fc.property(fc.nat(42), fc.constantFrom(..."abcXYZ019-_".split("")), (at, letter) => {
      const forged = value.slice(0, at) + letter + value.slice(at + 1);
      fc.pre(forged !== value);
      expect(sessions.find(forged)).toBeUndefined();
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => sessions.find(text) === undefined));
});
