// `kamado model pull` against servers that misbehave: what is downloaded is continued, checked, and refused before it costs anything.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { str, writeGguf } from "../../../models/random/gguf.ts";
import { type PullOptions, pullModel } from "../../../worker/engine/download/pull.ts";
import { Requests } from "../../../worker/engine/download/requests.ts";
import { type Asked, sourceOf } from "../../../worker/engine/download/source.ts";
import { estimate } from "../../../worker/engine/sizing/memory-need.ts";
import { KamadoError } from "../../../worker/errors.ts";
import { findInstalled } from "../../../worker/models/installed.ts";
import { type Behaviour, type FileServer, fileServer, MMPROJ, MODEL, sha256 } from "./file-server.ts";

let server: FileServer;
let dataDir: string;
const open: Requests[] = [];

beforeEach(async () => {
  server = await fileServer();
  dataDir = mkdtempSync(join(tmpdir(), "kamado-pull-"));
});
afterEach(() => server.close());
afterAll(() => Promise.all(open.map((requests) => requests.close())));

const HF = "hf:owner/repo/model.gguf";
const PARTS = /\.part|\.lock/;

function pulling(asked: Partial<Asked> = {}, more: Partial<PullOptions> = {}, token?: string) {
  const lines: string[] = [];
  const pauses: number[] = [];
  const requests = new Requests({ endpoint: server.endpoint, token });
  open.push(requests);
  const clock = {
    now: () => performance.now(),
    wall: () => Date.now(),
    sleep: async (ms: number) => void pauses.push(ms),
  };
  const done = (async () =>
    pullModel(sourceOf({ source: HF, name: "toy", ...asked }, server.endpoint), {
      dataDir,
      requests,
      signal: new AbortController().signal,
      clock,
      wantsProjector: true,
      dryRun: false,
      force: false,
      memoryLimit: 8e9,
      estimate,
      onProgress: () => {},
      say: (line) => void lines.push(line),
      ...more,
    }))();
  return { done, lines, pauses };
}

async function refusalOf(work: { done: Promise<unknown> }): Promise<KamadoError> {
  const thrown = await work.done.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(KamadoError);
  return thrown as KamadoError;
}

/** Lets the server wait until the client has written what it was sent. */
function arrivals() {
  let [reached, waiting] = [0, [] as { bytes: number; wake: () => void }[]];
  const onProgress: PullOptions["onProgress"] = (phase, _, done) => {
    if (phase === "download") reached = done;
    for (const { wake } of waiting.filter(({ bytes }) => bytes <= reached)) wake();
    waiting = waiting.filter(({ bytes }) => bytes > reached);
  };
  const arrived = (bytes: number) =>
    bytes <= reached ? Promise.resolve() : new Promise<void>((wake) => void waiting.push({ bytes, wake }));
  return { onProgress, arrived };
}

const folder = () => join(dataDir, "models", "toy");
const filesHere = () => (existsSync(folder()) ? readdirSync(folder()).toSorted() : []);
const askedOfStore = () => server.seen.filter(({ place }) => place === "store").map(({ range }) => range);
const HALF = Math.floor(MODEL.length / 2);

describe("a download", () => {
  test("ends with the model, its facts, and nothing else; KAMADO_MODEL finds it by its name", async () => {
    const { done, lines } = pulling();
    const { is, manifest } = await done;
    expect([is, manifest.files]).toEqual([
      "pulled",
      [
        {
          file: "model.gguf",
          bytes: MODEL.length,
          sha256: sha256(MODEL),
          checkedBy: "the source's checksum",
        },
      ],
    ]);
    expect(filesHere()).toEqual(["model.gguf", "model.json"]);
    expect(findInstalled(dataDir, "toy")).toMatchObject({
      model: join(folder(), "model.gguf"),
      mmproj: undefined,
    });
    expect(lines.join("\n")).toMatch(/toy needs .* of memory; this machine has 8\.0 GB/);
  });

  test("brings along the projector and the licence that the repository names", async () => {
    const siblings = ["README.md", "mmproj-model-bf16.gguf", "model.gguf", "mmproj-model-f16.gguf"];
    server.behaviour.repository = {
      siblings: siblings.map((rfilename) => ({ rfilename })),
      cardData: { license: "other", license_name: "toy-terms" },
    };
    const { manifest } = await pulling().done;
    expect(manifest).toMatchObject({ licence: "toy-terms", mmproj: "mmproj-model-f16.gguf" });
    expect(readFileSync(findInstalled(dataDir, "toy")!.mmproj!).equals(MMPROJ)).toBe(true);
  });

  test("continues after three dropped connections, and fetches no byte twice", async () => {
    // The first MiB is the header's; what breaks comes after it.
    const rest = MODEL.length - 1024 * 1024;
    server.behaviour.drops = [Math.floor(rest / 4), Math.floor(rest / 5), Math.floor(rest / 6)];
    const { arrived, onProgress } = arrivals();
    server.behaviour.arrived = arrived;
    const { done, pauses } = pulling({}, { onProgress });
    await done;
    expect(readFileSync(join(folder(), "model.gguf")).equals(MODEL)).toBe(true);
    const starts = askedOfStore().map((range) => Number(/=(\d+)/.exec(range!)![1]));
    expect(new Set(starts).size).toBe(starts.length);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    expect(pauses.length).toBe(3);
  });

  test("that was interrupted continues in another process, if the file is still the same one", async () => {
    const stop = new AbortController();
    server.behaviour.drops = [HALF];
    const { arrived, onProgress } = arrivals();
    server.behaviour.arrived = arrived;
    server.behaviour.onAnswer = () => {
      if (server.behaviour.drops.length === 0) stop.abort(new KamadoError("canceled", "Interrupted."));
    };
    expect((await refusalOf(pulling({}, { signal: stop.signal, onProgress }))).code).toBe("canceled");
    server.behaviour.onAnswer = () => {};
    const size = statSync(join(folder(), "model.gguf.part")).size;
    expect(size).toBe(HALF);
    server.seen.length = 0;
    await pulling().done;
    expect(askedOfStore()[0]).toMatch(new RegExp(`^bytes=${size}-`));
    expect(filesHere()).toEqual(["model.gguf", "model.json"]);
  });

  test.each([
    ["the hub has it no more", { files: {} }, "download_refused"],
    ["its source wants an account now", { hubStatuses: [{ status: 401 }] }, "download_refused"],
  ])("that is refused midway keeps what it has: %s", async (_, now, code) => {
    server.behaviour.onAnswer = ({ place, range }) => {
      if (place === "store" && range?.startsWith("bytes=1048576-")) server.behaviour.drops = [100_000];
    };
    const { arrived, onProgress } = arrivals();
    server.behaviour.arrived = async (bytes) => {
      await arrived(bytes);
      Object.assign(server.behaviour, now);
    };
    expect((await refusalOf(pulling({}, { onProgress }))).code).toBe(code);
    expect(statSync(join(folder(), "model.gguf.part")).size).toBeGreaterThan(1024 * 1024);
    Object.assign(server.behaviour, { files: { "model.gguf": MODEL }, onAnswer: () => {} });
    server.seen.length = 0;
    await pulling().done;
    expect(askedOfStore()[0]).not.toMatch(/^bytes=0-/);
  });

  test("asks Hugging Face for a new address when the one that it redirected to holds no longer", async () => {
    server.behaviour.statuses = [{ status: 403, body: "Request has expired" }];
    const { done, lines } = pulling();
    await done;
    expect(lines.join("\n")).toMatch(/answers 403\. Trying again in \d+ s\./);
  });

  test("of a model that is here fetches the projector that is asked for later, and only that", async () => {
    await pulling({ mmproj: "none" }, { wantsProjector: false }).done;
    server.seen.length = 0;
    const { mmproj } = (await pulling({ mmproj: "mmproj-model-f16.gguf" }).done).manifest;
    expect([mmproj, filesHere()]).toEqual([
      "mmproj-model-f16.gguf",
      ["mmproj-model-f16.gguf", "model.gguf", "model.json"],
    ]);
    expect(server.seen.filter(({ path }) => path.includes("/model.gguf"))).toEqual([]);
    expect(findInstalled(dataDir, "toy")?.mmproj).toBe(join(folder(), "mmproj-model-f16.gguf"));
    const { is, manifest } = await pulling({ mmproj: "none" }, { wantsProjector: false }).done;
    expect([is, manifest.mmproj, filesHere()]).toEqual(["pulled", null, ["model.gguf", "model.json"]]);
  });

  test("of a projector that is refused leaves the model of before as it was", async () => {
    await pulling({ mmproj: "none" }, { wantsProjector: false }).done;
    const before = readFileSync(join(folder(), "model.json"), "utf8");
    for (const mmproj of ["mmproj-gone.gguf", "hf:owner/repo/model2.gguf"]) {
      server.behaviour.files = { "model2.gguf": MODEL };
      expect((await refusalOf(pulling({ mmproj }))).code).toBe("download_refused");
    }
    expect([filesHere(), readFileSync(join(folder(), "model.json"), "utf8")]).toEqual([
      ["model.gguf", "model.json"],
      before,
    ]);
    expect(readFileSync(join(folder(), "model.gguf")).equals(MODEL)).toBe(true);
  });

  test("of a model whose projector was lost fetches the projector alone", async () => {
    server.behaviour.repository = { siblings: [{ rfilename: "mmproj-model-f16.gguf" }] };
    await pulling().done;
    rmSync(join(folder(), "mmproj-model-f16.gguf"));
    expect(findInstalled(dataDir, "toy")).toBeUndefined();
    server.seen.length = 0;
    expect((await pulling().done).is).toBe("pulled");
    expect(server.seen.filter(({ path }) => path.includes("/model.gguf"))).toEqual([]);
  });

  test("goes on where the answer about the repository is of no use, and says so", async () => {
    for (const repository of [null, [], { siblings: "none", cardData: null }, { siblings: [null] }]) {
      server.behaviour.repository = repository;
      expect((await pulling({ name: `toy-${open.length}` }).done).manifest.mmproj).toBeNull();
    }
  });

  test("of a model of the catalogue names the licence of its repository, where that is another one", async () => {
    server.behaviour.files = { "SmolVLM2-2.2B-Instruct-Q4_K_M.gguf": MODEL };
    server.behaviour.repository = { cardData: { license: "other-terms" } };
    const work = pulling({ source: "smolvlm2-2.2b", mmproj: "none" }, { wantsProjector: false });
    expect((await work.done).manifest.licence).toBe("other-terms");
    expect(work.lines).toContain("The licence of toy is other-terms; the catalogue says Apache-2.0.");
  });

  test("sends the ETag with If-Range where there is no checksum, and begins again when the file was replaced", async () => {
    Object.assign(server.behaviour, { linkedSha256: undefined, linkedBytes: undefined });
    const url = `${server.store}/model.gguf`;
    const other = Buffer.from(MODEL);
    other[MODEL.length - 1]! ^= 1;
    server.behaviour.drops = [HALF];
    const { arrived, onProgress } = arrivals();
    server.behaviour.arrived = arrived;
    server.behaviour.onAnswer = ({ headers }) => {
      if (headers["if-range"] === undefined || server.behaviour.drops.length > 0) return;
      Object.assign(server.behaviour, { etag: '"two"', files: { "model.gguf": other } });
    };
    const { done, lines } = pulling({ source: url }, { onProgress });
    await done;
    expect(readFileSync(join(folder(), "model.gguf")).equals(other)).toBe(true);
    expect(lines.join("\n")).toContain("begins again");
    expect(lines.join("\n")).toContain("gives no checksum");
  });

  const DATE = "Tue, 01 Sep 2026 10:00:00 GMT";
  test.each([
    ["continues with the same ETag", { etag: '"one"' }, { etag: '"one"' }, true],
    [
      "begins again with another ETag, although the server reads no If-Range",
      { etag: '"one"' },
      { etag: '"two"' },
      false,
    ],
    [
      "continues with the same date, where there is no ETag",
      { lastModified: DATE },
      { lastModified: DATE },
      true,
    ],
    ["begins again where the server gives neither", {}, {}, false],
    ["begins again where the ETag is weak", { etag: 'W/"one"' }, { etag: 'W/"one"' }, false],
  ])("%s", async (_, before, after, continues) => {
    const none = { linkedSha256: undefined, linkedBytes: undefined, etag: undefined, conditions: false };
    Object.assign(server.behaviour, none, before, { drops: [HALF] });
    const { arrived, onProgress } = arrivals();
    server.behaviour.arrived = async (bytes) => {
      await arrived(bytes);
      Object.assign(server.behaviour, after);
    };
    await pulling({ source: `${server.store}/model.gguf` }, { onProgress }).done;
    const starts = askedOfStore().map((range) => Number(/=(\d+)/.exec(range!)![1]));
    expect(starts.slice(0, 3)).toEqual(continues ? [0, HALF, 1024 * 1024] : [0, HALF, expect.any(Number)]);
    expect(starts.filter((start) => start === 0).length > 1).toBe(!continues);
    expect(readFileSync(join(folder(), "model.gguf")).equals(MODEL)).toBe(true);
  });

  test("works without ranges, from the beginning each time, and gives up when that gets no further", async () => {
    server.behaviour.ranges = false;
    const { done } = pulling();
    await done;
    expect(readFileSync(join(folder(), "model.gguf")).equals(MODEL)).toBe(true);
    server.behaviour.drops = Array.from({ length: 20 }, () => HALF);
    const { arrived, onProgress } = arrivals();
    server.behaviour.arrived = arrived;
    const refused = await refusalOf(pulling({ name: "other" }, { onProgress }));
    expect([refused.code, refused.message]).toEqual([
      "download_failed",
      expect.stringContaining("5 tries in a row"),
    ]);
    expect(server.behaviour.drops.length).toBe(15);
  });

  test("waits as long as a 429 asks, and begins again after a 416", async () => {
    server.behaviour.statuses = [{ status: 429, headers: { "retry-after": "7" } }];
    const { done, pauses } = pulling();
    await done;
    expect(pauses).toEqual([7_000]);
    const stale = join(dataDir, "models", "two");
    const first = pulling({ name: "two" }, { freeBytes: 0 });
    expect((await refusalOf(first)).code).toBe("disk_full");
    const facts = JSON.parse(readFileSync(join(stale, "model.gguf.part.json"), "utf8"));
    writeFileSync(join(stale, "model.gguf.part.json"), JSON.stringify({ ...facts, total: MODEL.length * 2 }));
    writeFileSync(join(stale, "model.gguf.part"), Buffer.concat([MODEL, MODEL.subarray(0, 9)]));
    await pulling({ name: "two" }).done;
    expect(readFileSync(join(stale, "model.gguf")).equals(MODEL)).toBe(true);
  });

  test("of a file that is complete after a crash before the last step is not downloaded again", async () => {
    const { manifest } = await pulling().done;
    const facts = { total: MODEL.length, sha256: manifest.files[0]!.sha256 };
    writeFileSync(join(folder(), "model.gguf.part.json"), JSON.stringify(facts));
    rmSync(join(folder(), "model.json"));
    server.seen.length = 0;
    await pulling().done;
    expect(askedOfStore()).toEqual([]);
    expect(filesHere()).toEqual(["model.gguf", "model.json"]);
  });

  test("of the same model in another process is refused while this one goes on, and damages nothing", async () => {
    let second: Promise<KamadoError> | undefined;
    server.behaviour.onAnswer = () => {
      second ??= refusalOf(pulling());
    };
    await pulling().done;
    expect(await second).toMatchObject({
      code: "model_busy",
      message: expect.stringContaining(`process ${process.pid}`),
    });
    expect(readFileSync(join(folder(), "model.gguf")).equals(MODEL)).toBe(true);
    expect((await pulling().done).is).toBe("here already");
  });

  test("reads as much of a long header as it has", async () => {
    const path = join(dataDir, "long.gguf");
    const metadata = {
      "general.architecture": str("llama"),
      "general.license": str("mit"),
      "x.y": str("z".repeat(3e6)),
    };
    writeGguf(path, metadata, [{ name: "a", shape: [32], fill: 0 }]);
    server.behaviour.files = { "model.gguf": readFileSync(path) };
    const unknown = () => Promise.reject(new Error("no such architecture"));
    const { done, lines } = pulling({}, { dryRun: true, estimate: unknown });
    const { manifest } = await done;
    expect(lines).toContain("How much memory toy needs is not known.");
    expect(manifest).toMatchObject({ licence: "mit", bytes: statSync(path).size });
    expect(askedOfStore()).toEqual(["bytes=0-1048575", "bytes=1048576-4194303"]);
  });

  test("of a model in several files has all of them", async () => {
    const parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    server.behaviour.files = Object.fromEntries(parts.map((name) => [name, MODEL]));
    const { manifest } = await pulling({ source: `hf:owner/repo/${parts[0]}` }).done;
    expect(manifest).toMatchObject({ model: parts[0], bytes: 2 * MODEL.length, memoryBytes: null });
    expect(filesHere()).toEqual([...parts, "model.json"]);
  });

  test("with --dry-run leaves nothing", async () => {
    const { is, manifest } = await pulling({}, { dryRun: true }).done;
    expect([is, manifest.bytes, filesHere()]).toEqual(["only looked at", MODEL.length, []]);
  });
});

describe("a file that is not what it should be is refused", () => {
  const named = (bytes: Buffer | string) => ({ files: { "model.gguf": Buffer.from(bytes) } });
  const cases: [string, Partial<Behaviour>, RegExp][] = [
    ["a web page", { contentType: "text/html; charset=utf-8" }, /a web page in place of the file/],
    ["a web page that is called a file", named("<!doctype html><title>Sign in</title>"), /it is a web page/],
    ["a pointer of Git LFS", named("version https://git-lfs.github.com/spec/v1\n"), /pointer of Git LFS/],
    ["a projector in place of the model", named(MMPROJ), /is a projector, not a model/],
    [
      "a header that is damaged",
      named(Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(999, 255)])),
      /its header is damaged/,
    ],
    [
      "a server that says the file is shorter than its header does",
      { total: () => HALF, linkedBytes: undefined },
      /is cut off: it has \d+ bytes and needs \d+/,
    ],
    [
      "two servers that say different lengths",
      { linkedBytes: (file) => file.length + 1 },
      /Hugging Face says that it has \d+ bytes, and 127\.0\.0\.1:\d+ that it has \d+/,
    ],
    [
      "a file that is not there",
      { statuses: [{ status: 404, body: "Entry not found" }] },
      /404: Entry not found/,
    ],
    ["a server that knows no such range", { statuses: [{ status: 416 }] }, /is empty/],
  ];

  test.each(cases)("before it is downloaded: %s", async (_, behaviour, said) => {
    Object.assign(server.behaviour, behaviour);
    const refused = await refusalOf(pulling());
    expect([refused.code, refused.message]).toEqual(["download_refused", expect.stringMatching(said)]);
    expect(refused.message).not.toContain(dataDir);
    expect(filesHere()).toEqual([]);
    const last = askedOfStore().map((range) => Number(/-(\d+)$/.exec(range!)?.[1] ?? Infinity));
    expect(Math.max(...last)).toBeLessThan(1024 * 1024);
  });

  test("401 of another server: a token of Hugging Face would not help", async () => {
    server.behaviour.statuses = [{ status: 401 }];
    const { hint } = await refusalOf(pulling({ source: `${server.store}/model.gguf` }));
    expect(hint).toMatch(/^127\.0\.0\.1:\d+ gets no token and no password from Kamado/);
  });

  test.each([401, 403])("%d: with what to do without a token, and with one that may not", async (status) => {
    server.behaviour.hubStatuses = [{ status }, { status }];
    const without = await refusalOf(pulling());
    expect(without.hint).toContain("set HF_TOKEN");
    const withOne = await refusalOf(pulling({}, {}, "hf_secret"));
    expect(withOne.hint).toContain("may not read it");
    expect(`${withOne.message}${withOne.hint}`).not.toContain("hf_secret");
  });

  test("401 for a repository that does not exist: with what Hugging Face says of it", async () => {
    const headers = { "x-error-code": "RepoNotFound" };
    server.behaviour.statuses = [{ status: 401, headers, body: "Invalid username or password." }];
    const { message, hint } = await refusalOf(pulling());
    expect([message, hint]).toEqual([
      expect.stringMatching(/answers 401: Invalid username or password\.$/),
      "Check the names of the repository and the file; a private repository needs HF_TOKEN.",
    ]);
  });

  test("after the download, and removed, when its checksum is wrong", async () => {
    server.behaviour.linkedSha256 = () => "0".repeat(64);
    const refused = await refusalOf(pulling());
    expect([refused.code, refused.message]).toEqual([
      "checksum_mismatch",
      expect.stringContaining(`its SHA-256 is ${sha256(MODEL)}, and ${"0".repeat(64)} its source says`),
    ]);
    expect(filesHere()).toEqual([]);
    server.behaviour.linkedSha256 = sha256;
    const given = await refusalOf(pulling({ sha256: "f".repeat(64) }));
    expect(given.message).toContain("was expected");
  });

  test("with the numbers when the disk is too small, and continues once there is space", async () => {
    const refused = await refusalOf(pulling({}, { freeBytes: 3e6 }));
    expect([refused.code, refused.message]).toEqual([
      "disk_full",
      expect.stringMatching(/needs .* MB more, and 3\.0 MB are free at .*; 500 MB stay free/),
    ]);
    expect((await pulling().done).is).toBe("pulled");
  });

  test("with the numbers when the memory is too small, unless it is forced", async () => {
    const refused = await refusalOf(pulling({}, { memoryLimit: 50e6 }));
    expect([refused.code, refused.message]).toEqual([
      "memory_insufficient",
      expect.stringMatching(
        /toy: The model needs \d+ MiB with 1 slot of 2048 tokens, and 48 MiB are available/,
      ),
    ]);
    expect(filesHere()).toEqual([]);
    expect((await pulling({}, { memoryLimit: 50e6, force: true }).done).is).toBe("pulled");
  });

  test("that is a projector, also where the repository has it as its projector", async () => {
    server.behaviour.repository = { siblings: [{ rfilename: "mmproj-model-f16.gguf" }] };
    const refused = await refusalOf(pulling({ source: "hf:owner/repo/mmproj-model-f16.gguf" }));
    expect(refused.message).toBe("mmproj-model-f16.gguf is a projector, not a model.");
  });

  test("under a name that another model has", async () => {
    await pulling().done;
    const refused = await refusalOf(pulling({ source: `${server.store}/model.gguf` }));
    expect([refused.code, refused.message]).toEqual([
      "invalid_input",
      expect.stringContaining("from hf:owner/repo/model.gguf"),
    ]);
  });
});

describe("the token of Hugging Face", () => {
  test("goes to the endpoint, and not to the server that it redirects to", async () => {
    await pulling({}, {}, "hf_secret").done;
    const by = (place: string) =>
      new Set(server.seen.filter((one) => one.place === place).map((one) => one.headers.authorization));
    expect([...by("hub")]).toEqual(["Bearer hf_secret"]);
    expect([...by("store")]).toEqual([undefined]);
  });

  test("goes to no other address that is asked for directly", async () => {
    await pulling({ source: `${server.store}/model.gguf` }, {}, "hf_secret").done;
    expect(server.seen.map(({ headers }) => headers.authorization)).not.toContain("Bearer hf_secret");
    expect(PARTS.test(filesHere().join())).toBe(false);
  });
});
