import { isIP } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KamadoError } from "../../worker/errors.ts";
import { createOutbound, type Outbound, type OutboundOptions } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";
import { type Receiver, startReceiver, status } from "../fakes/receiver.ts";

let receiver: Receiver;
let open: Outbound[];
beforeEach(async () => {
  receiver = await startReceiver();
  open = [];
});
afterEach(async () => {
  await receiver.close();
  await Promise.all(open.map((one) => one.close()));
});

function outbound(options: OutboundOptions = {}): Outbound {
  const one = createOutbound(options);
  open.push(one);
  return one;
}
/** One that knows the receiver. */
const friendly = (options: OutboundOptions = {}) =>
  outbound({ destinations: [known(receiver.url)], ...options });

const errorOf = (promise: Promise<unknown>): Promise<KamadoError> =>
  promise.then(
    () => expect.unreachable("it should have failed"),
    (error) => error,
  );
const codeOf = async (promise: Promise<unknown>) => (await errorOf(promise)).code;

describe("addresses that must not be reached", () => {
  const vectors = (port: number) => [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `[::1]:${port}`,
    `[::ffff:127.0.0.1]:${port}`,
    `2130706433:${port}`,
    `0x7f.1:${port}`,
    `0177.0.0.01:${port}`,
    `127.1:${port}`,
    `0:${port}`,
    `0.0.0.0:${port}`,
    "169.254.169.254",
    "[fe80::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "100.100.100.200",
    "192.168.1.1",
    "127。0。0。1",
  ];

  test("are refused in every spelling, and nothing connects", async () => {
    const safe = outbound();
    for (const host of vectors(receiver.port)) {
      const error = await errorOf(
        safe.send({ method: "POST", url: `https://${host}/latest/meta-data`, body: "x" }),
      );
      expect([host, error.code]).toEqual([host, "address_refused"]);
    }
    expect(receiver.connections()).toBe(0);
  });

  test("link-local, metadata and reserved ones are refused even where the home network is allowed", async () => {
    for (const host of ["169.254.169.254", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "0.0.0.0"]) {
      const generous = outbound({ destinations: [known(`http://${host}/`)] });
      expect([host, await codeOf(generous.getBytes(`http://${host}/`))]).toEqual([host, "address_refused"]);
    }
  });

  test("a name is judged by the addresses it resolves to", async () => {
    const at = (address: string) => outbound({ resolve: async () => [{ address, family: 4 }] });
    const error = await errorOf(at("10.0.0.7").getBytes("https://innocent.example/?token=t0k3n"));
    expect(error).toMatchObject({ code: "address_refused", detail: { host: "innocent.example" } });
    expect(error.message).toContain("innocent.example: the name resolves to a private address");
    expect(error.message).not.toContain("t0k3n");
    expect(await codeOf(at("169.254.169.254").getBytes("https://metadata.example/"))).toBe("address_refused");
  });

  test("of a name's addresses, only those that may be reached are tried", async () => {
    const home = outbound({
      destinations: [known(`http://mac.local:${receiver.port}/`)],
      resolve: async () => [
        { address: "fe80::1", family: 6 },
        { address: "127.0.0.1", family: 4 },
      ],
    });
    expect(await home.getJson(`http://mac.local:${receiver.port}/`)).toEqual({});
  });

  test("a name that resolves to a private address the second time gains nothing", async () => {
    // Public by its range, and routed by nobody.
    const answers = ["3ffe::1", "127.0.0.1"];
    const asked: string[] = [];
    const rebinding = outbound({
      destinations: [known(`http://rebind.example:${receiver.port}/`, { allowPrivate: false })],
      resolve: async (name) => {
        asked.push(name);
        const address = answers[asked.length - 1] ?? "127.0.0.1";
        return [{ address, family: isIP(address) }];
      },
    });
    const url = `http://rebind.example:${receiver.port}/`;
    // The first answer is judged and used: nothing asks again between the judgement and the connection.
    expect(await codeOf(rebinding.send({ method: "GET", url, timeoutMs: 100 }))).toBe("fetch_failed");
    expect(asked).toHaveLength(1);
    expect(await codeOf(rebinding.send({ method: "GET", url }))).toBe("address_refused");
    expect(receiver.connections()).toBe(0);
  });

  test("an open connection for an allowed path is not used for a path that is not allowed", async () => {
    const url = `http://mac.local:${receiver.port}`;
    const partly = outbound({
      destinations: [known(`${url}/open`), known(`${url}/`, { allowPrivate: false })],
      resolve: async () => [{ address: "127.0.0.1", family: 4 }],
    });
    await partly.getBytes(`${url}/open/a`);
    expect(await codeOf(partly.getBytes(`${url}/closed`))).toBe("address_refused");
    expect(receiver.received.map(({ path }) => path)).toEqual(["/open/a"]);
  });

  test("plain http is only for listed addresses; credentials in an address and other schemes are refused", async () => {
    const resolve = async () => [{ address: "127.0.0.1", family: 4 }];
    expect(await codeOf(outbound({ resolve }).getBytes("http://example.com/"))).toBe("address_refused");
    const error = await errorOf(outbound({ resolve }).getBytes("https://me:pa55word@example.com/"));
    expect(error.code).toBe("address_refused");
    expect(error.message).not.toContain("pa55word");
    for (const url of ["ftp://example.com/", "file:///etc/passwd", "/etc/passwd", ""])
      expect(await codeOf(outbound().getBytes(url))).toBe("unsupported_address");
  });
});

describe("redirects", () => {
  const to = (location: string) => status(302, { location });

  test("are followed for a GET, up to three", async () => {
    receiver.respond(({ path }, response) => {
      const left = Number(path.slice(1));
      if (left === 0) return void response.end('"there"');
      response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    expect(await friendly().getJson(`${receiver.url}/3`)).toBe("there");
    expect((await friendly().getBytes(`${receiver.url}/2`)).url).toBe(`${receiver.url}/0`);
    expect(await codeOf(friendly().getJson(`${receiver.url}/4`))).toBe("fetch_rejected");
  });

  test.each([
    "http://169.254.169.254/latest",
    "http://localhost:1/",
    "https://[::1]/",
    "http://example.com/",
    "//10.0.0.1/",
    "https://a:b@example.com/",
  ])("to %s are refused", async (location) => {
    receiver.respond(to(location));
    expect(await codeOf(friendly().getBytes(receiver.url))).toBe("address_refused");
  });

  test("to another scheme are refused", async () => {
    receiver.respond(to("file:///etc/passwd"));
    expect(await codeOf(friendly().getBytes(receiver.url))).toBe("unsupported_address");
  });

  test("to another origin do not take the headers along", async () => {
    await using other = await startReceiver();
    receiver.respond(to(`${other.url}/x`));
    const both = outbound({
      destinations: [known(receiver.url, { headers: { authorization: "Bearer 1" } }), known(other.url)],
    });
    await both.getBytes(receiver.url, { headers: { "x-mine": "1" } });
    expect(receiver.received[0]!.headers).toMatchObject({ authorization: "Bearer 1", "x-mine": "1" });
    expect(other.received[0]!.headers).not.toHaveProperty("authorization");
    expect(other.received[0]!.headers).not.toHaveProperty("x-mine");
  });

  test("are ordinary answers to everything but a GET", async () => {
    receiver.respond(to("/elsewhere"));
    const answer = await friendly().send({
      method: "POST",
      url: receiver.url,
      body: "x",
      followRedirects: true,
    });
    expect(answer.status).toBe(302);
    expect(receiver.received).toHaveLength(1);
  });
});

describe("limits", () => {
  test("an answer that announces too many bytes is not read", async () => {
    receiver.respond((_, response) => void response.writeHead(200, { "content-length": "5000" }).write("x"));
    expect(await codeOf(friendly().getBytes(receiver.url, { maxBytes: 4_999 }))).toBe("input_too_large");
  });

  test("an endless answer is cut off", async () => {
    const gone = Promise.withResolvers<void>();
    receiver.respond((_, response) => {
      const more = () => void (response.write(Buffer.alloc(64 * 1024)) && setImmediate(more));
      response.on("drain", more).on("close", gone.resolve);
      more();
    });
    expect(await codeOf(friendly().getBytes(receiver.url, { maxBytes: 1_000_000 }))).toBe("input_too_large");
    await gone.promise;
  });

  test("an answer of exactly the limit is read", async () => {
    receiver.respond((_, response) => void response.end(Buffer.alloc(1_000, 1)));
    expect((await friendly().getBytes(receiver.url, { maxBytes: 1_000 })).bytes).toHaveLength(1_000);
  });

  test("a small answer that unpacks to a big one is refused, one that fits is unpacked", async () => {
    receiver.respond(
      (_, response) =>
        void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(100_000))),
    );
    expect(await codeOf(friendly().getBytes(receiver.url, { maxBytes: 99_999 }))).toBe("input_too_large");
    expect((await friendly().getBytes(receiver.url, { maxBytes: 100_000 })).bytes).toHaveLength(100_000);
    expect(receiver.received[0]!.headers["accept-encoding"]).toBe("identity");
  });

  test.each<[string, Parameters<Receiver["respond"]>[0]]>([
    ["never answers", () => {}],
    [
      "drips",
      (_, response) => {
        const timer = setInterval(() => response.write("."), 5);
        response.on("close", () => clearInterval(timer));
      },
    ],
  ])("one that %s ends with the time-out", async (_, respond) => {
    receiver.respond(respond);
    const error = await errorOf(friendly().send({ method: "GET", url: receiver.url, timeoutMs: 60 }));
    expect(error.code).toBe("fetch_failed");
    expect(error.message).toContain("127.0.0.1: the answer took too long");
  });

  test("when only the status matters, a hanging or endless body is not a failure", async () => {
    receiver.respond((_, response) => void response.writeHead(202).write(Buffer.alloc(100_000)));
    const answer = await friendly().send({
      method: "POST",
      url: receiver.url,
      answer: "start",
      maxBytes: 10,
    });
    expect(answer).toMatchObject({ status: 202, bytes: Buffer.alloc(10) });
  });

  test("a caller's signal ends it with the caller's reason, even while a name resolves", async () => {
    const stop = new AbortController();
    const stuck = outbound({
      resolve: () => {
        stop.abort(new Error("the lease is lost"));
        return new Promise(() => {});
      },
    });
    const sent = stuck.send({ method: "GET", url: "https://example.com/", signal: stop.signal });
    await expect(sent).rejects.toThrow("the lease is lost");
  });
});

describe("failures", () => {
  test.each([
    [404, "fetch_rejected"],
    [401, "fetch_rejected"],
    [304, "fetch_rejected"],
    [408, "fetch_failed"],
    [429, "fetch_failed"],
    [500, "fetch_failed"],
    [503, "fetch_failed"],
  ])("%i is %s", async (code, expected) => {
    receiver.respond(status(code, { "retry-after": "7" }));
    const error = await errorOf(friendly().getJson(receiver.url));
    expect(error).toMatchObject({ code: expected, detail: { httpStatus: code, retryAfterMs: 7_000 } });
  });

  test.each([
    ["a byte order mark", Buffer.from('\ufeff["牛乳"]'), undefined],
    ["UTF-16", Buffer.from('\ufeff["牛乳"]', "utf16le"), undefined],
    [
      "a character set of its own",
      Buffer.from([0x5b, 0x22, 0x8b, 0x8d, 0x93, 0xfb, 0x22, 0x5d]),
      "shift_jis",
    ],
  ])("JSON with %s is read", async (_, bytes, charset) => {
    const headers = charset === undefined ? {} : { "content-type": `application/json; charset="${charset}"` };
    receiver.respond((_, response) => void response.writeHead(200, headers).end(bytes));
    expect(await friendly().getJson(receiver.url)).toEqual(["牛乳"]);
  });

  test("JSON in a character set that nothing says is rejected, never read with replacement characters", async () => {
    receiver.respond((_, response) => void response.end(Buffer.from([0x22, 0x01, 0x81, 0xff, 0x22])));
    expect(await codeOf(friendly().getJson(receiver.url))).toBe("fetch_rejected");
  });

  test("numbers above 2^53 in an answer keep their digits", async () => {
    receiver.respond((_, response) => void response.end('[{"id":9007199254740993}]'));
    expect(await friendly().getJson(receiver.url)).toEqual([{ id: "9007199254740993" }]);
  });

  test("an answer that is not JSON is rejected", async () => {
    receiver.respond((_, response) => void response.end("<html>"));
    expect(await codeOf(friendly().getJson(receiver.url))).toBe("fetch_rejected");
  });

  test("JSON is read in the character set that it is in", async () => {
    const json = JSON.stringify({ title: "卵を二つ、牛乳を一本" });
    for (const bytes of [
      `\ufeff${json}`,
      Buffer.from(`\ufeff${json}`, "utf16le"),
      Buffer.from(json, "utf16le"),
    ]) {
      receiver.respond((_, response) => void response.end(bytes));
      expect(await friendly().getJson(receiver.url)).toEqual(JSON.parse(json));
    }
    receiver.respond((_, response) => void response.end(Buffer.from(json).subarray(0, -4)));
    expect(await codeOf(friendly().getJson(receiver.url))).toBe("fetch_rejected");
  });

  test("JSON that is made to cost memory is rejected before it is parsed", async () => {
    for (const json of ["[".repeat(2e6) + "]".repeat(2e6), `[${"{},".repeat(2e6)}0]`]) {
      receiver.respond((_, response) => void response.end(json));
      const error = await errorOf(friendly().getJson(receiver.url));
      expect(error).toMatchObject({
        code: "fetch_rejected",
        message: expect.stringMatching(/nested deeper|more than/),
      });
    }
  });

  test("a closed socket, a refused connection and an unknown name may pass", async () => {
    receiver.respond((_, __, request) => void request.socket.destroy());
    expect(await codeOf(friendly().getBytes(receiver.url))).toBe("fetch_failed");
    await receiver.close();
    const error = await errorOf(friendly().getBytes(`${receiver.url}/path?token=t0k3n`));
    expect(error.code).toBe("fetch_failed");
    expect(error.message).not.toMatch(/t0k3n|path/);
  });
});

test.for([
  ["ENOTFOUND", "the name does not resolve."],
  ["ESERVFAIL", "the name does not resolve just now."],
  ["ENETUNREACH", "there is no route to the network."],
  ["EADDRNOTAVAIL", "this machine has no address of that kind (IPv4 or IPv6)."],
  ["CERT_HAS_EXPIRED", "its certificate has expired."],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another name."],
  [
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "no authority that is known has signed its certificate (NODE_EXTRA_CA_CERTS",
  ],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS: the address should perhaps begin with http://."],
  ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "it speaks no version of TLS that is safe."],
  ["EWHATEVER", "the request failed (EWHATEVER)."],
] as const)("a connection that fails with %s says so in words", async ([code, words]) => {
  const failing = outbound({ resolve: () => Promise.reject(Object.assign(new Error("x"), { code })) });
  const error = await errorOf(failing.getBytes("https://nowhere.example/"));
  expect([error.code, error.message]).toEqual([
    "fetch_failed",
    expect.stringContaining(`nowhere.example: ${words}`),
  ]);
});

test("a destination's own headers are sent to it and to nobody else", async () => {
  const own = outbound({
    destinations: [
      known(`${receiver.url}/api`, { headers: { authorization: "Bearer 1" } }),
      known(receiver.url),
    ],
  });
  await own.send({
    method: "POST",
    url: `${receiver.url}/api/x`,
    headers: { "Content-Type": "application/json" },
    body: "{}",
  });
  await own.send({ method: "POST", url: `${receiver.url}/apix`, body: "{}" });
  expect(receiver.received.map(({ headers }) => headers.authorization)).toEqual(["Bearer 1", undefined]);
  expect(receiver.received[0]).toMatchObject({ method: "POST", path: "/api/x", body: "{}" });
  expect(receiver.received[0]!.headers["content-type"]).toBe("application/json");
});

test("close waits for requests under way, may be called twice, and nothing is sent after it", async () => {
  const arrived = Promise.withResolvers<() => void>();
  receiver.respond((_, response) => arrived.resolve(() => void response.end("{}")));
  const one = createOutbound({ destinations: [known(receiver.url)] });
  const answer = one.getJson(receiver.url);
  const finish = await arrived.promise;
  const closing = Promise.all([one.close(), one.close()]);
  finish();
  expect(await answer).toEqual({});
  await closing;
  expect(await codeOf(one.getJson(receiver.url))).toBe("fetch_failed");
  await createOutbound().close();
});
