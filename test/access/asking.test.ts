// Where a request comes from: what no proxy, no page of another site and no foreign name can pretend.
import { describe, expect, test } from "vitest";
import { type Asking, addressOf, isCrossSite, isLocal, isOverTls } from "../../worker/access/asking.ts";
import fc from "../properties.ts";

const asking = (
  headers: Record<string, string> = {},
  { method = "GET", peer = "127.0.0.1" } = {},
): Asking => ({
  method,
  headers: new Headers({ host: "localhost:4780", ...headers }),
  peer,
});

describe("from this machine itself", () => {
  test.each(["localhost:4780", "127.0.0.1:4780", "[::1]:4780", "host.docker.internal"])("as %s", (host) => {
    expect(isLocal(asking({ host }), true)).toBe(true);
  });

  test.each(["127.0.0.1", "::1", "::ffff:127.0.0.1"])(
    "where others reach the server too, only from %s",
    (peer) => {
      expect(isLocal(asking({}, { peer }), false)).toBe(true);
      for (const other of ["192.168.1.20", "::ffff:10.0.0.1", "fe80::1", "127.0.0.1.example", ""])
        expect([other, isLocal(asking({}, { peer: other }), false)]).toEqual([other, false]);
      expect(isLocal({ ...asking(), peer: undefined }, false)).toBe(false);
    },
  );

  test.each([
    ["a name that was resolved to this machine", { host: "rebind.example:4780" }],
    [
      "cloudflared",
      { "cf-ray": "8c1-NRT", "cf-connecting-ip": "203.0.113.9", "x-forwarded-for": "203.0.113.9" },
    ],
    ["cloudflared that was told to send the host's own name", { "cf-ray": "8c1-NRT" }],
    ["tailscale serve", { "tailscale-user-login": "me@example.com", "x-forwarded-for": "100.64.0.2" }],
    ["a proxy of one's own", { "x-forwarded-for": "127.0.0.1" }],
    ["one of another kind", { forwarded: "for=127.0.0.1" }],
    ["one that only says its name", { via: "1.1 caddy" }],
    ["a page that stands elsewhere, through a proxy that hides itself", { origin: "https://kamado.example" }],
    ["a page without an origin", { origin: "null" }],
  ])("not through %s", (_, headers) => {
    expect(isLocal(asking(headers), true)).toBe(false);
  });

  test("whatever else is sent, a host that is not this machine's is not local", () => {
    const name = fc.stringMatching(/^[a-z0-9-]{1,20}(\.[a-z0-9-]{1,10}){1,3}(:\d{1,5})?$/);
    fc.assert(
      fc.property(name, (host) => {
        fc.pre(
          !/^127\.\d+\.\d+\.\d+(:\d+)?$/.test(host) && !/^host\.(docker|containers)\.internal/.test(host),
        );
        expect(isLocal(asking({ host }), true)).toBe(false);
      }),
    );
  });
});

describe("a page of another site", () => {
  const FORM = {
    origin: "https://evil.example",
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  };
  test.each([
    ["a form that it sends", asking(FORM, { method: "POST" })],
    ["a form in a browser that says no more", asking({ origin: "https://evil.example" }, { method: "POST" })],
    ["a form in a sandbox", asking({ origin: "null" }, { method: "POST" })],
    ["a page on another port", asking({ origin: "http://localhost:3000" }, { method: "POST" })],
    [
      "a page on another port that says no more",
      asking({ "sec-fetch-site": "same-site" }, { method: "DELETE" }),
    ],
    [
      "a picture that it loads",
      asking({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }),
    ],
    ["a frame that it opens", asking({ ...FORM, "sec-fetch-dest": "iframe" })],
    ["what it fetches", asking({ origin: "https://evil.example" })],
  ])("is one: %s", (_, request) => {
    expect(isCrossSite(request)).toBe(true);
  });

  const OWN = { origin: "https://kamado.example", host: "kamado.example" };
  test.each([
    [
      "a link to here",
      asking({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }),
    ],
    ["an address that was typed", asking({ "sec-fetch-site": "none" })],
    [
      "our own form",
      asking({ "sec-fetch-site": "same-origin", origin: "http://localhost:4780" }, { method: "POST" }),
    ],
    [
      "our own form, behind a proxy that changes the host",
      asking({ "sec-fetch-site": "same-origin", origin: OWN.origin }, { method: "POST" }),
    ],
    [
      "our own form in a home network, where browsers say less",
      asking({ origin: "http://mac.local:4780", host: "mac.local:4780" }, { method: "POST" }),
    ],
    ["our own form behind TLS", asking(OWN, { method: "POST" })],
    ["the same with its port", asking({ ...OWN, host: "kamado.example:443" }, { method: "POST" })],
    ["a program", asking({}, { method: "POST" })],
  ])("is none: %s", (_, request) => {
    expect(isCrossSite(request)).toBe(false);
  });
});

describe("whom a limit counts", () => {
  test.each([
    ["the address of the socket", {}, "192.168.1.20", "192.168.1.20"],
    [
      "not what somebody elsewhere says of himself",
      { "x-forwarded-for": "1.2.3.4" },
      "192.168.1.20",
      "192.168.1.20",
    ],
    [
      "what a proxy on this machine added last",
      { "x-forwarded-for": "9.9.9.9, 203.0.113.9" },
      "127.0.0.1",
      "203.0.113.9",
    ],
    [
      "what Cloudflare says",
      { "cf-connecting-ip": "203.0.113.9", "x-forwarded-for": "9.9.9.9" },
      "127.0.0.1",
      "203.0.113.9",
    ],
    ["IPv4 as IPv6 shows it", {}, "::ffff:192.168.1.20", "192.168.1.20"],
    ["a household of IPv6", { "cf-connecting-ip": "2001:DB8:0:7:1:2:3:4" }, "::1", "2001:db8:0:7"],
    ["the same in short", { "cf-connecting-ip": "2001:db8:0:7::9" }, "::1", "2001:db8:0:7"],
    ["nobody, without a socket", {}, undefined, ""],
  ] as const)("is %s", (_, headers, peer, address) => {
    expect(addressOf({ ...asking(headers), peer })).toBe(address);
  });

  test("it is short, whatever is sent", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii", maxLength: 3_000 }), (text) => {
        const sent = text.replaceAll(/[^\x20-\x7e]/g, "");
        expect(addressOf(asking({ "x-forwarded-for": sent })).length).toBeLessThanOrEqual(64);
      }),
    );
  });
});

test.each([
  [{}, false],
  [{ "x-forwarded-proto": "http" }, false],
  [{ "x-forwarded-proto": "https" }, true],
  [{ "cf-visitor": '{"scheme":"https"}' }, true],
  [{ forwarded: "for=1.2.3.4;proto=https" }, true],
  [{ origin: "https://kamado.example" }, true],
])("whether TLS ends before us: %j is %s", (headers, expected) => {
  expect(isOverTls(asking(headers as Record<string, string>))).toBe(expected);
});
