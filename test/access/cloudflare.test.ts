// An assertion of Cloudflare Access counts only if the team made it, for one of our applications, and not too long ago.
import { generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createVerify } from "../../worker/access/cloudflare.ts";
import { FakeClock } from "../fakes/clock.ts";
import { AUDIENCE, OTHER_AUDIENCE, READ_AUDIENCE, startTeam, TEAM, type Team } from "./team.ts";

let team: Team;
beforeAll(async () => {
  team = await startTeam();
});
afterAll(() => team[Symbol.asyncDispose]());

const open = (clock = new FakeClock()) => {
  const options = {
    team: TEAM,
    audiences: [AUDIENCE],
    readAudiences: [READ_AUDIENCE],
    keysUrl: team.keysUrl,
  };
  return createVerify(options, clock);
};
const HOUR = 3_600_000;

describe("who comes through Cloudflare Access", () => {
  test("is known by name", async () => {
    expect(await open()(await team.assertion())).toEqual({ name: "me@example.com", mayChange: true });
    const service = await team.assertion({ email: "", common_name: "a-service-token.access" });
    expect(await open()(service)).toEqual({ name: "a-service-token.access", mayChange: true });
  });

  test("may only read what an application for readers lets in", async () => {
    const reader = await team.assertion({ aud: [READ_AUDIENCE] });
    expect(await open()(reader)).toEqual({ name: "me@example.com", mayChange: false });
  });
});

describe("an assertion is refused", () => {
  const past = Math.floor(Date.now() / 1_000) - 600;
  test.each<[string, () => Promise<string>]>([
    ["that has expired", () => team.assertion({ exp: past })],
    ["that never expires", () => team.assertion({ exp: undefined as never })],
    ["that is for another application", () => team.assertion({ aud: [OTHER_AUDIENCE] })],
    ["that is for none", () => team.assertion({ aud: [] })],
    ["of another team", () => team.assertion({ iss: "https://other.cloudflareaccess.com" })],
    ["that is not valid yet", () => team.assertion({ nbf: past + 1_200 })],
    [
      "that somebody else signed under a known key's name",
      async () => team.assertion({}, await generateKeyPair("RS256")),
    ],
    ["of a key that nobody knows", () => team.assertion({ kid: "made-up" })],
    [
      "that names no key",
      async () => {
        const { privateKey } = await generateKeyPair("RS256");
        return new SignJWT({ iss: TEAM, aud: AUDIENCE })
          .setProtectedHeader({ alg: "RS256" })
          .sign(privateKey);
      },
    ],
    ["that is signed with nothing", async () => new UnsecuredJWT({ iss: TEAM, aud: AUDIENCE }).encode()],
    [
      "that is signed with the public key as a password",
      async () => {
        const header = { alg: "HS256", kid: "first" };
        const claims = { iss: TEAM, aud: AUDIENCE, iat: past, exp: past + 1_200 };
        return new SignJWT(claims)
          .setProtectedHeader(header)
          .sign(new TextEncoder().encode("first".repeat(20)));
      },
    ],
    [
      "that was changed",
      async () => {
        const [head, , signature] = (await team.assertion()).split(".");
        const claims = Buffer.from(
          JSON.stringify({ iss: TEAM, aud: AUDIENCE, exp: past + 9_999, iat: past }),
        );
        return [head, claims.toString("base64url"), signature].join(".");
      },
    ],
    ["that is none", async () => "not.a.token"],
    ["that is empty", async () => ""],
  ])("%s", async (_, make) => {
    await expect(open()(await make())).rejects.toMatchObject({ code: "unauthorized" });
  });
});

describe("the team's keys", () => {
  test("are fetched when the first assertion comes, once for all who wait, and kept", async () => {
    const verify = open();
    const before = team.asked();
    const assertion = await team.assertion();
    await Promise.all(Array.from({ length: 20 }, () => verify(assertion)));
    await verify(assertion);
    expect(team.asked() - before).toBe(1);
  });

  test("change: a new one is found at once, and the one before still counts", async () => {
    const [clock, old] = [new FakeClock(), await team.assertion()];
    const verify = open(clock);
    await verify(old);
    await clock.advance(60_000);
    await team.rotate("second");
    expect(await verify(await team.assertion())).toBeDefined();
    expect(await verify(old)).toBeDefined();
  });

  test("are not fetched more often than every half minute, whatever keys are made up", async () => {
    const clock = new FakeClock();
    const verify = open(clock);
    const before = team.asked();
    const flood = async () => {
      for (let n = 0; n < 30; n++)
        await verify(await team.assertion({ kid: `made-up-${n}` })).catch(() => {});
    };
    await flood();
    expect(team.asked() - before).toBe(1);
    await clock.advance(30_000);
    await flood();
    expect(team.asked() - before).toBe(2);
    // The right ones are not disturbed.
    expect(await verify(await team.assertion())).toBeDefined();
  });

  test.each([
    ["answers 500", { status: 500, body: "" }],
    ["answers a page", { status: 200, body: "<html>" }],
    ["redirects", { status: 302, body: "" }],
    ["answers without an end", { status: 200, body: `{"keys":[${" ".repeat(300_000)}]}` }],
    ["answers nothing of use", { status: 200, body: "{}" }],
  ])("go on being used while their address %s", async (_, answer) => {
    const clock = new FakeClock();
    const verify = open(clock);
    const assertion = await team.assertion();
    await verify(assertion);
    team.answer = answer;
    try {
      await clock.advance(2 * HOUR);
      expect(await verify(assertion)).toBeDefined();
      // A key that is not known cannot be looked up now, and the known ones stay.
      await clock.advance(HOUR);
      await expect(verify(await team.assertion({ kid: "made-up" }))).rejects.toMatchObject({
        code: "unauthorized",
      });
      expect(await verify(assertion)).toBeDefined();
      // But not for ever: a key that was withdrawn must end.
      await clock.advance(8 * 24 * HOUR);
      await expect(verify(assertion)).rejects.toMatchObject({ code: "unauthorized" });
    } finally {
      team.answer = undefined;
    }
    await clock.advance(30_000);
    expect(await verify(assertion)).toBeDefined();
  });

  test("that cannot be fetched at first are tried again, and the error says where they should be", async () => {
    const clock = new FakeClock();
    const verify = open(clock);
    const assertion = await team.assertion();
    team.answer = { status: 503, body: "" };
    const { host } = new URL(team.keysUrl);
    await expect(verify(assertion)).rejects.toMatchObject({ hint: expect.stringContaining(host) });
    team.answer = undefined;
    await clock.advance(30_000);
    expect(await verify(assertion)).toBeDefined();
  });
});
