// What the doctor says of the search service.
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { searchFindings } from "../../worker/doctor/search.ts";
import { JumpingClock } from "../fakes/clock.ts";
import { account, json, SERVICES, serveService } from "../search/services.ts";

const findings = (variables: Record<string, string>) =>
  searchFindings(loadConfig({}, variables), new JumpingClock());

test("nothing is said where none is set up", async () => {
  expect(await findings({})).toEqual([]);
});

test("a service that works is said so, with what is left, and asked for no search", async () => {
  await using served = await serveService("serpapi");
  const set = {
    KAMADO_SEARCH: "serpapi",
    KAMADO_SEARCH_URL: served.stub.url,
    KAMADO_SEARCH_KEY: served.service.key!,
  };
  expect(account()).toMatchObject({ total_searches_left: 200 });
  expect(await findings(set)).toEqual([
    { check: "search", status: "ok", found: "serpapi takes the key; 200 searches are left, 50 an hour" },
  ]);
  expect(served.searches).toEqual([]);
});

describe("what is wrong is named, with what to do and without the key:", () => {
  test.each(Object.values(SERVICES))("$name refuses", async ({ name, refusesKey: [status, body], key }) => {
    await using served = await serveService(name);
    served.stub.respond((_, response) => json(response, status, body));
    const [found] = await findings({
      KAMADO_SEARCH: name,
      KAMADO_SEARCH_URL: served.stub.url,
      ...(key !== undefined && { KAMADO_SEARCH_KEY: key }),
    });
    expect(found).toMatchObject({
      check: "search",
      status: "fail",
      found: expect.stringMatching(/refuses the key|not set to give JSON/),
      todo: expect.stringMatching(/KAMADO_SEARCH_KEY|formats/),
    });
    if (key !== undefined) expect(JSON.stringify(found)).not.toContain(key);
  });

  test("a service that is not there", async () => {
    const [found] = await findings({ KAMADO_SEARCH_URL: "http://127.0.0.1:1" });
    expect(found).toMatchObject({ status: "fail", found: expect.stringContaining("refused") });
  });

  test("a key that SearXNG does not have", async () => {
    await using served = await serveService("searxng");
    served.stub.respond((_, response) => json(response, 400, { error: "No query" }));
    const found = await findings({
      KAMADO_SEARCH: "searxng",
      KAMADO_SEARCH_URL: served.stub.url,
      KAMADO_SEARCH_KEY: "k3y",
    });
    expect(found.map(({ status }) => status)).toEqual(["ok", "warn"]);
  });
});
