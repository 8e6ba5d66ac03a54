// Which addresses a search may reach, and how its turns are taken.
import { expect, test } from "vitest";
import { systemClock } from "../../worker/async/clock.ts";
import { secret } from "../../worker/config/secret.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { openSearch } from "../../worker/search/search.ts";
import { settled } from "../fakes/clock.ts";
import { known } from "../fakes/known.ts";
import type { Received } from "../fakes/receiver.ts";
import { json, serveService } from "./services.ts";

const ONE = { url: "https://example.org/1", title: "One", snippet: "1" };

test("the address that the owner sets may be at home with http, and no other becomes so by it", async () => {
  await using served = await serveService("searxng");
  served.answer((_, response) => json(response, 200, served.service.results([ONE])));
  expect(await served.search.web("fair", { count: 1 })).toHaveLength(1);
  const outbound = createOutbound();
  await expect(outbound.getBytes(served.stub.url)).rejects.toMatchObject({ code: "address_refused" });
  await outbound.close();
});

test.each(["http://169.254.169.254", "http://[fe80::1]", "http://0.0.0.0:8080"])(
  "an address that must never be reached is refused: %s",
  async (url) => {
    const settings = { provider: "searxng", url, key: undefined, perMinute: undefined } as const;
    const search = openSearch(settings, { destinations: [], clock: systemClock });
    await expect(search.web("fair")).rejects.toMatchObject({ code: "search_rejected" });
    await search.close();
  },
);

test("headers of the destinations file go to a SearXNG behind a proxy, and are in no error", async () => {
  await using served = await serveService("searxng");
  const { stub } = served;
  const destinations = [known(stub.url, { headers: { Authorization: "Basic b3duZXI6czNjcmV0" } })];
  const settings = { provider: "searxng", url: stub.url, key: undefined, perMinute: 6_000 } as const;
  const search = openSearch(settings, { destinations, clock: served.clock });
  served.answer(({ headers }, response) =>
    json(response, 400, { error: `not ${headers.authorization}, owner:s3cret` }),
  );
  const error = await search.web("fair").catch((thrown) => thrown);
  expect(served.searches[0]?.headers.authorization).toBe("Basic b3duZXI6czNjcmV0");
  expect(error.message).toContain("[secret]");
  expect(error.message).not.toMatch(/s3cret|b3duZXI/);
  await search.close();
});

test("no more requests are under way than the service takes at once", async () => {
  await using served = await serveService("searxng");
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const queryOf = (received: Received) => String(served.service.asked(received).query);
  served.answer(async (received, response) => {
    if (queryOf(received) === "held") await released;
    json(response, 200, served.service.results([ONE]));
  });
  const first = [1, 2, 3].map(() => served.search.web("held", { count: 1 }));
  // As long as the others would wait for their turn, were there no limit.
  const other = served.open({});
  for (let nth = 0; nth < 5; nth += 1) await other.web("other", { count: 1 });
  expect(served.searches.filter((one) => queryOf(one) === "held")).toHaveLength(1);
  release();
  await Promise.all(first);
  expect(served.searches.filter((one) => queryOf(one) === "held")).toHaveLength(3);
});

test("a job that is canceled while it waits for its turn costs no search", async () => {
  await using served = await serveService("searxng");
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  served.answer(async (_, response) => {
    await answered;
    json(response, 200, served.service.results([ONE]));
  });
  const first = served.search.web("first", { count: 1 });
  const canceled = new AbortController();
  const reason = new Error("canceled");
  const second = served.search.web("second", { count: 1, signal: canceled.signal });
  await settled();
  canceled.abort(reason);
  await expect(second).rejects.toBe(reason);
  answer();
  await first;
  await served.search.web("third", { count: 1 });
  expect(served.searches.map((one) => served.service.asked(one).query)).toEqual(["first", "third"]);
});

test("a service that cannot be reached fails as what may pass, and names the host alone", async () => {
  const settings = {
    provider: "serpapi",
    url: "http://127.0.0.1:1/x",
    key: secret("k3y-of-the-owner"),
    perMinute: 6_000,
  } as const;
  await using served = await serveService("serpapi");
  const search = openSearch(settings, { destinations: [], clock: served.clock });
  const error = await search.web("fair").catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "search_failed", retry: true });
  expect(error.message).toMatch(/^SerpApi at 127\.0\.0\.1:1: 127\.0\.0\.1: /);
  expect(error.message).not.toContain("k3y");
  await search.close();
});
