// What a job's input points at, fetched before its handler runs.
import { gzipSync, zstdCompressSync } from "node:zlib";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { SLOW_PIXELS, slow } from "../../bench/hostile-pictures.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { InputRefs, Page, SafeImage } from "../../worker/job/handler.ts";
import type { Answer } from "../../worker/outbound/answer.ts";
import { pageOf } from "../../worker/pages/article.ts";
import type { DocumentBytes } from "../../worker/pages/document.ts";
import { createInputs, type InputsOptions } from "../../worker/runner/inputs.ts";
import { createReadableObjects } from "../../worker/storage/readable-objects.ts";
import { ENCODED } from "../fakes/encoded-texts.ts";
import { decoderPids, isRunning } from "../images/decoder-processes.ts";
import fc from "../properties.ts";

const never = new AbortController().signal;
let png: Buffer;
beforeAll(async () => {
  png = await sharp({ create: { width: 8, height: 8, channels: 3, background: "#e01010" } })
    .png()
    .toBuffer();
});

/** A bucket, "home", and a web, each a record of what is there; `sizes` says how long a body claims to be. */
function inputsOver(
  there: Record<string, Uint8Array>,
  more: Partial<InputsOptions> = {},
  contentType: string | null = null,
) {
  const bodiesRead: string[] = [];
  const find = (address: string, maxBytes: number) => {
    const bytes = there[address];
    if (!bytes) throw new KamadoError("object_not_found", "There is no such object.");
    if (bytes.length > maxBytes)
      throw new KamadoError("input_too_large", `It has ${bytes.length} bytes; the limit is ${maxBytes}.`);
    bodiesRead.push(address);
    return { bytes, contentType, etag: "", ageMs: 0 };
  };
  const inputs = createInputs({
    outbound: { getBytes: async (url, { maxBytes = 0 } = {}) => ({ ...find(url, maxBytes), url }) },
    objects: createReadableObjects({
      own: "home",
      buckets: new Map([["home", { get: async (key, { maxBytes }) => find(`s3://home/${key}`, maxBytes) }]]),
    }),
    pages: pagesOver(find),
    budgets: { inputs: 10, inputBytes: 50_000_000 },
    ...more,
  });
  return { inputs, bodiesRead };
}

/** A reader of pages that says where each page came from and what was in it. */
const pagesOver = (find: (address: string, maxBytes: number) => { bytes: Uint8Array }) => {
  const document = async ({ bytes, contentType, url = null }: DocumentBytes) =>
    pageOf({ text: `${contentType} ${Buffer.from(bytes)}`, url });
  return {
    document,
    fetch: async (url: string) => ({ ...find(url, Number.POSITIVE_INFINITY), url, status: 200, headers: {} }),
    pageOf: async ({ bytes, url }: Answer) => document({ bytes, contentType: "of the reader:", url }),
  };
};

const text = (value: string | Uint8Array) => (typeof value === "string" ? Buffer.from(value) : value);

async function refusal(refs: InputRefs, there: Record<string, Uint8Array> = {}, more = {}) {
  const thrown = await inputsOver(there, more)
    .inputs(refs, never)
    .catch((error: unknown) => error);
  if (thrown instanceof KamadoError) return thrown;
  throw new Error("it was not refused", { cause: thrown });
}

test("a picture that is packed is unpacked, within its own limit", async () => {
  const { inputs } = inputsOver({ "s3://home/in/a.png.gz": gzipSync(png) });
  const { photo } = await inputs({ photo: { from: "s3://home/in/a.png.gz", as: "image" } }, never);
  expect(photo).toMatchObject({ width: 8, height: 8 });
});

describe("a picture", () => {
  const widthOf = async (from: string, there = {}) => {
    const { door } = await inputsOver(there).inputs({ door: { from, as: "image" } }, never);
    return (door as unknown as SafeImage).width;
  };

  test("comes from the bucket, the web, a data: URI or the job itself", async () => {
    const base64 = png.toString("base64");
    expect(await widthOf("s3://home/in/door.png", { "s3://home/in/door.png": png })).toBe(8);
    expect(await widthOf("https://example.com/door", { "https://example.com/door": png })).toBe(8);
    expect(await widthOf(`data:image/png;base64,${base64}`)).toBe(8);
    expect(await widthOf(base64)).toBe(8);
    expect(await widthOf(base64.replaceAll(/(.{76})/g, "$1\r\n"))).toBe(8);
  });

  test("is decoded no further once its job has ended", async () => {
    const job = new AbortController();
    const there = { "s3://home/in/scan.png": slow() };
    const { inputs } = inputsOver(there, { limits: { image: { maxPixels: SLOW_PIXELS } } });
    const asked = inputs({ scan: { from: "s3://home/in/scan.png", as: "image" } }, job.signal);
    await expect.poll(() => decoderPids()).not.toEqual([]);
    const decoders = decoderPids();
    job.abort(new KamadoError("lease_lost", "Another worker has the job."));
    await expect(asked).rejects.toMatchObject({ code: "lease_lost" });
    expect(decoders.every(isRunning)).toBe(false);
  });

  test("is recognised by its bytes, whatever its name is", async () => {
    expect(await widthOf(`data:text/plain;base64,${png.toString("base64")}`)).toBe(8);
    expect(await widthOf(` DATA:;base64,${encodeURIComponent(png.toString("base64"))}`)).toBe(8);
    const error = await refusal(
      { door: { from: "s3://home/in/door.png", as: "image" } },
      { "s3://home/in/door.png": text("hello") },
    );
    expect([error.code, error.message]).toEqual([
      "image_undecodable",
      expect.stringMatching(/^door: .*a text file/),
    ]);
  });

  test("that is too large is refused by its size, before its body is read", async () => {
    const { inputs, bodiesRead } = inputsOver({ "s3://home/in/huge.jpg": new Uint8Array(50_000_000) });
    const asked = inputs({ photo: { from: "s3://home/in/huge.jpg", as: "image" } }, never);
    await expect(asked).rejects.toMatchObject({
      code: "input_too_large",
      message: expect.stringMatching(/^photo: .*20000000/),
    });
    expect(bodiesRead).toEqual([]);
  });

  test("that is too large is refused before it is decoded, in the job itself too", async () => {
    const limits = { image: { maxBytes: 1_000 } };
    for (const from of ["A".repeat(4_000), `data:image/png;base64,${"A".repeat(4_000)}`]) {
      expect((await refusal({ photo: { from, as: "image" } }, {}, { limits })).code).toBe("input_too_large");
    }
  });
});

describe("a text", () => {
  const read = async (bytes: string | Uint8Array, contentType: string | null = null) => {
    const { inputs } = inputsOver({ "s3://home/in/a.txt": text(bytes) }, {}, contentType);
    return (await inputs({ article: { from: "s3://home/in/a.txt", as: "text" } }, never)).article;
  };

  test("is read as UTF-8, with or without a mark at its beginning", async () => {
    expect(await read("卵を二つ")).toBe("卵を二つ");
    expect(await read("\ufeffeggs")).toBe("eggs");
    expect(await read("")).toBe("");
  });

  test.each(ENCODED)("%s in %s is read, named or not", async (words, charset, bytes) => {
    expect(await read(bytes)).toBe(words);
    expect(await read(bytes, `text/plain; charset=${charset}`)).toBe(words);
  });

  test("that is none is refused rather than garbled", async () => {
    for (const bytes of [png, Buffer.from("卵を二つ").subarray(0, -1)])
      await expect(read(bytes)).rejects.toMatchObject({
        code: "invalid_input",
        message: expect.stringMatching(/^article: the text is in no character set that is known/),
      });
  });

  test("that is packed, once or twice, is unpacked up to its own limit", async () => {
    for (const pack of [gzipSync, zstdCompressSync, (bytes: Uint8Array) => gzipSync(gzipSync(bytes))])
      expect(await read(pack(Buffer.from("卵を二つ")))).toBe("卵を二つ");
    await expect(read(gzipSync(Buffer.alloc(6_000_000, "a")))).rejects.toMatchObject({
      code: "input_too_large",
      message: "article: unpacked, it has more than 5000000 bytes.",
    });
    await expect(read(gzipSync(Buffer.from("eggs")).subarray(0, -9))).rejects.toMatchObject({
      code: "invalid_input",
      message: "article: it is not valid gzip.",
    });
  });

  test("of a data: URI is in the character set that the URI names", async () => {
    const { inputs } = inputsOver({});
    const asked = { from: "data:text/plain;charset=Shift_JIS,%97%91%82%f0%93%f1%82%c2", as: "text" as const };
    expect((await inputs({ article: asked }, never)).article).toBe("卵を二つ");
  });

  test("comes from a data: URI, too", async () => {
    const { inputs } = inputsOver({});
    const from = "data:text/plain;charset=utf-8,two%20eggs%2C%20%E5%8D%B5";
    expect((await inputs({ article: { from, as: "text" } }, never)).article).toBe("two eggs, 卵");
  });

  test("has its own limit", async () => {
    const there = { "s3://home/in/a.txt": new Uint8Array(11) };
    const error = await refusal({ a: { from: "s3://home/in/a.txt", as: "text" } }, there, {
      limits: { maxTextBytes: 10 },
    });
    expect(error.code).toBe("input_too_large");
  });
});

describe("an input that the job may not read is refused, and the error names its field", () => {
  test.for([
    ["s3://other/door.jpg", "object_forbidden", '"other"'],
    ["s3://home/in/none.jpg", "object_not_found", "no such object"],
    ["s3://home/results/other.json", "object_forbidden", "s3://home/in/"],
    ["s3://home/in/\ud800", "unsupported_address", "no character"],
    ["s3://home", "unsupported_address", "no address"],
    ["/etc/passwd", "unsupported_address", "no address"],
    ["file:///etc/passwd", "unsupported_address", "no address"],
    ["ftp://example.com/door.jpg", "unsupported_address", "no address"],
    ["door.jpg", "unsupported_address", "no address"],
    ["door", "unsupported_address", "no address"],
    ["data:image/png;base64,%%%", "invalid_input", "not base64"],
    ["data:image/png;base64,AAAAA", "invalid_input", "not base64"],
    ["data:image/png", "invalid_input", "comma"],
    ["data:,100%", "invalid_input", "escape"],
  ] as const)("%s is %s", async ([from, code, words]) => {
    const error = await refusal({ photo: { from, as: "image" } });
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(words)]);
    expect(error.message).toMatch(/^photo: /);
  });

  test("an error keeps how long the other side wants to be left alone", async () => {
    const busy = new KamadoError("fetch_failed", "503", { detail: { retryAfterMs: 9_000 } });
    const error = await refusal(
      { photo: { from: "https://example.com/", as: "image" } },
      {},
      {
        outbound: { getBytes: () => Promise.reject(busy) },
      },
    );
    expect([error.code, error.detail?.retryAfterMs]).toEqual(["fetch_failed", 9_000]);
  });
});

describe("several inputs", () => {
  test("are fetched at the same time; one that is not given stays undefined", async () => {
    let waiting = 0;
    const bothAsked = Promise.withResolvers<void>();
    const { inputs } = inputsOver(
      {},
      {
        objects: {
          async get() {
            if (++waiting === 2) bothAsked.resolve();
            await bothAsked.promise;
            return { bytes: text("x"), contentType: null, etag: "", ageMs: 0 };
          },
        },
      },
    );
    const ref = { from: "s3://home/in/x", as: "text" } as const;
    expect(await inputs({ one: ref, other: ref, none: undefined }, never)).toEqual({ one: "x", other: "x" });
  });

  test("are no more than the owner allows, and nothing is fetched of a job that has more", async () => {
    const there = { "s3://home/in/x": text("x") };
    const ref = { from: "s3://home/in/x", as: "text" } as const;
    const refs = { one: ref, other: ref, none: undefined, third: ref };
    const { inputs, bodiesRead } = inputsOver(there, { budgets: { inputs: 2, inputBytes: 1_000 } });
    await expect(inputs(refs, never)).rejects.toMatchObject({
      code: "budget_exceeded",
      message: expect.stringMatching(/3.*2.*KAMADO_MAX_JOB_INPUTS/),
    });
    expect(bodiesRead).toEqual([]);
    expect(await inputs({ one: ref, other: ref }, never)).toEqual({ one: "x", other: "x" });
  });

  test("have no more bytes in all than the owner allows, each within its own limit", async () => {
    const there = { "s3://home/in/x": text("x".repeat(400)) };
    const ref = { from: "s3://home/in/x", as: "text" } as const;
    const more = (inputBytes: number) => ({
      limits: { maxTextBytes: 500 },
      budgets: { inputs: 10, inputBytes },
    });
    const error = await refusal({ one: ref, two: ref, three: ref }, there, more(1_000));
    expect(error.code).toBe("budget_exceeded");
    expect(error.message).toMatch(
      /^three: .*800 so far and more than 200 .*1000.*KAMADO_MAX_JOB_INPUT_BYTES/,
    );
    const refs = { one: ref, two: ref, three: ref };
    expect(Object.keys(await inputsOver(there, more(1_200)).inputs(refs, never))).toHaveLength(3);
  });

  test("the first that fails stops the others", async () => {
    let stopped = false;
    const outbound: InputsOptions["outbound"] = {
      getBytes: (_, { signal } = {}) =>
        new Promise((_resolve, reject) =>
          signal!.addEventListener("abort", () => {
            stopped = true;
            reject(signal!.reason);
          }),
        ),
    };
    const error = await refusal(
      { slow: { from: "https://example.com/", as: "text" }, gone: { from: "s3://home/in/none", as: "text" } },
      {},
      { outbound },
    );
    expect([error.code, stopped]).toEqual(["object_not_found", true]);
  });

  test("a job that is aborted ends with the reason of the abort", async () => {
    const cut = new AbortController();
    const { inputs } = inputsOver(
      {},
      {
        outbound: {
          getBytes: async (_, { signal } = {}) => {
            cut.abort(new KamadoError("lease_lost", "Another worker holds the job."));
            signal!.throwIfAborted();
            throw new Error("it went on");
          },
        },
      },
    );
    const asked = inputs({ page: { from: "https://example.com/", as: "text" } }, cut.signal);
    await expect(asked).rejects.toMatchObject({ code: "lease_lost" });
  });
});

describe("a page", () => {
  const textAt = async (from: string, there = {}, contentType: string | null = null) => {
    const { page } = await inputsOver(there, {}, contentType).inputs({ page: { from, as: "page" } }, never);
    return (page as unknown as Page).text;
  };

  test("comes from the web by the reader of pages, from the bucket and from a data: URI as it is", async () => {
    const there = {
      "https://example.com/a": text("<p>Web"),
      "s3://home/in/a.html.gz": gzipSync("<p>Object"),
    };
    expect(await textAt("https://example.com/a", there)).toBe("of the reader: <p>Web");
    expect(await textAt(" HTTP://example.com/a", { " HTTP://example.com/a": text("<p>Plain") })).toBe(
      "of the reader: <p>Plain",
    );
    expect(await textAt("s3://home/in/a.html.gz", there, "text/html")).toBe("text/html <p>Object");
    expect(await textAt("data:text/html;charset=utf-8,%3Cp%3EData")).toBe("text/html;charset=utf-8 <p>Data");
  });

  test("that is refused names its field", async () => {
    const of = async (from: string) => {
      const { code, message } = await refusal({ article: { from, as: "page" } });
      return [code, message.startsWith("article: ")];
    };
    expect(await of("https://example.com/none")).toEqual(["object_not_found", true]);
    expect(await of("s3://home/in/none")).toEqual(["object_not_found", true]);
    expect(await of("what is this")).toEqual(["unsupported_address", true]);
    expect(await of("file:///etc/passwd")).toEqual(["unsupported_address", true]);
  });

  test("that may fail is an error beside the others, unless the whole job has to fail", async () => {
    const there = { "https://example.com/a": text("Web") };
    const page = (from: string) => ({ from, as: "page" as const, mayFail: true as const });
    const refs = {
      good: page("https://example.com/a"),
      bad: page("s3://home/in/none"),
      wrong: page("what is this"),
    };
    const { good, bad, wrong } = await inputsOver(there).inputs(refs, never);
    expect(good).toMatchObject({ text: "of the reader: Web" });
    expect(bad).toMatchObject({ code: "object_not_found", message: expect.stringMatching(/^bad: /) });
    expect(wrong).toMatchObject({ code: "unsupported_address" });
    const error = await refusal({ one: page("https://example.com/a") }, there, {
      budgets: { inputs: 0, inputBytes: 1 },
    });
    expect(error.code).toBe("budget_exceeded");
  });

  test("counts with the bytes of all inputs", async () => {
    const there = { "https://example.com/a": Buffer.alloc(700, 65) };
    const page = { from: "https://example.com/a", as: "page" as const };
    const error = await refusal({ one: page, two: page }, there, {
      budgets: { inputs: 10, inputBytes: 1_000 },
    });
    expect([error.code, error.message]).toEqual([
      "budget_exceeded",
      expect.stringMatching(/^two: .*700 so far and more than 300 /),
    ]);
  });
});

test("any text as an address is read, or refused with a code", async () => {
  const from = fc
    .tuple(fc.constantFrom("data:", "data:;base64,", "s3://", ""), fc.string())
    .map((x) => x.join(""));
  await fc.assert(
    fc.asyncProperty(from, async (address) => {
      const { inputs } = inputsOver({});
      const thrown = await inputs({ photo: { from: address, as: "image" } }, never).catch((error) => error);
      expect(thrown).toBeInstanceOf(KamadoError);
    }),
  );
});
