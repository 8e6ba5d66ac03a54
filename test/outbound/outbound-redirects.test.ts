// Where a redirect may lead, and which headers go along. Without a network: a stranger's address must be https and public, which
// no test server is.
import { Readable } from "node:stream";
import { expect, test, vi } from "vitest";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";

type Asked = { origin: string; path: string; headers: Record<string, string>; home: boolean };
const asked: Asked[] = [];
const redirects: Record<string, string> = {
  "https://stranger.example/": "https://todo.home/a",
  "https://todo.home/a": "https://todo.home/b",
  "https://friend.example/": "https://todo.home/b",
  "https://stranger.example/http": "http://lamp.home/",
  "https://stranger.example/own": "https://stranger.example/known",
};

vi.mock("../../worker/outbound/connect.ts", () => ({
  createAgent: (_: unknown, home: boolean) => ({
    async request({ origin, path, headers }: Asked) {
      asked.push({ origin, path, headers, home });
      const location = redirects[`${origin}${path}`];
      return {
        statusCode: location ? 302 : 200,
        headers: location ? { location } : {},
        body: Readable.from([]),
      };
    },
  }),
}));

const headers = { authorization: "Bearer 1" };
const destinations = [
  known("https://todo.home/", { headers }),
  known("http://lamp.home/", { headers }),
  known("https://friend.example/", { allowPrivate: false }),
  known("https://stranger.example/known", { headers, allowPrivate: false }),
];
async function hops(url: string): Promise<[url: string, authorization: string | undefined, home: boolean][]> {
  asked.length = 0;
  const outbound = createOutbound({ destinations, resolve: async () => [] });
  await outbound.send({ method: "GET", url, followRedirects: true, headers: { "x-mine": "1" } });
  return asked.map(({ origin, path, headers, home }) => [`${origin}${path}`, headers.authorization, home]);
}

test("a stranger's redirect to a listed destination gets neither its headers nor the home network", async () => {
  expect(await hops("https://stranger.example/")).toEqual([
    ["https://stranger.example/", undefined, false],
    ["https://todo.home/a", undefined, false],
    ["https://todo.home/b", undefined, false],
  ]);
});

test("a stranger's redirect does not get plain http either", async () => {
  await expect(hops("https://stranger.example/http")).rejects.toMatchObject({ code: "address_refused" });
});

test("from one listed destination to another, each gets its own headers", async () => {
  expect(await hops("https://friend.example/")).toEqual([
    ["https://friend.example/", undefined, false],
    ["https://todo.home/b", "Bearer 1", true],
  ]);
  expect(await hops("https://todo.home/a")).toEqual([
    ["https://todo.home/a", "Bearer 1", true],
    ["https://todo.home/b", "Bearer 1", true],
  ]);
});

test("within one origin, the destinations file applies as usual", async () => {
  expect(await hops("https://stranger.example/own")).toEqual([
    ["https://stranger.example/own", undefined, false],
    ["https://stranger.example/known", "Bearer 1", false],
  ]);
});
