// Which objects jobs may read, whichever way they name them.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { parseAddress } from "../../worker/storage/bucket.ts";
import { createReadableObjects } from "../../worker/storage/readable-objects.ts";

const none = { get: () => Promise.reject(new KamadoError("object_not_found", "There is no such object.")) };
const BUCKETS = new Map(["kamado", "photos", "scans"].map((name) => [name, none]));

function objects(more: Partial<Parameters<typeof createReadableObjects>[0]> = {}) {
  return createReadableObjects({ own: "kamado", buckets: BUCKETS, ...more });
}

/** The code with which an object is refused; null when it may be read. */
function refusalOf(address: string, more = {}): string | null {
  try {
    objects(more).check(parseAddress(address)!);
    return null;
  } catch (thrown) {
    return (thrown as KamadoError).code;
  }
}

describe("jobs read what is below in/, and nothing else in Kamado's own bucket", () => {
  test.each([
    ["s3://kamado/in/door.png", null],
    ["s3://kamado/in/a/b/ドア 🚪.png", null],
    ["s3://kamado/in", "object_forbidden"],
    ["s3://kamado/inbox/x", "object_forbidden"],
    ["s3://kamado//in/x", "object_forbidden"],
    ["s3://kamado/x", "object_forbidden"],
    ["s3://photos/in/x", "object_forbidden"],
    ["s3://unknown/in/x", "object_forbidden"],
  ])("%s: %s", (address, code) => {
    expect(refusalOf(address)).toBe(code);
  });

  test("what Kamado keeps there is never readable, whatever is listed and whatever rules there are", () => {
    const table = readFileSync(new URL("../../docs/architecture.md", import.meta.url), "utf8")
      .split("| key in the bucket |")[1]!
      .split("\n\n")[0]!;
    const keys = [...table.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`([^`]+)`/g)].map(([, key]) => key!.replaceAll(/[<>…]/g, "x")),
    );
    const own = keys.filter((key) => !key.startsWith("in/"));
    expect(own.length).toBeGreaterThan(6);
    const all = { listed: [{ bucket: "kamado", prefix: "" }], rules: [{ prefix: "" }] };
    for (const key of own)
      expect([key, refusalOf(`s3://kamado/${key}`, all)]).toEqual([key, "object_forbidden"]);
    expect(refusalOf("s3://kamado/uploads/x", all)).toBeNull();
  });
});

describe("the owner lists what else they read", () => {
  const listed = [
    { bucket: "photos", prefix: "" },
    { bucket: "scans", prefix: "out/" },
    { bucket: "gone", prefix: "" },
  ];
  const rules = [{ prefix: "doors/" }, { bucket: "scans", prefix: "letters/" }];
  test.each([
    ["s3://photos/any/thing", null],
    ["s3://photos/results/x.json", null],
    ["s3://scans/out/1.png", null],
    ["s3://scans/in/1.png", "object_forbidden"],
    ["s3://scans/letters/1.png", null],
    ["s3://kamado/doors/1.png", null],
    ["s3://scans/doors/1.png", "object_forbidden"],
    ["s3://gone/x", "object_forbidden"],
  ])("%s: %s", (address, code) => {
    expect(refusalOf(address, { listed, rules })).toBe(code);
  });

  test("an error names what they may read, and is short however much that is", async () => {
    const many = Array.from({ length: 500 }, (_, at) => ({ bucket: "photos", prefix: `${at}/` }));
    const asked = objects({ listed: many }).get({ bucket: "x".repeat(900_000), key: "y" }, { maxBytes: 1 });
    const { message } = (await asked.catch((thrown) => thrown)) as KamadoError;
    expect(message).toMatch(
      /may read what begins with s3:\/\/kamado\/in\/, s3:\/\/photos\/0\/.* and 491 more\.$/,
    );
    expect(message.length).toBeLessThan(600);
  });
});

describe("a key that no object can have is the job's mistake, and is never asked for", () => {
  test.each([
    ["half of a pair", "in/\ud800"],
    ["the other half", "in/\udc00x"],
    ["300 KB", `in/${"k".repeat(300_000)}`],
    ["1,025 bytes", `in/${"k".repeat(1_022)}`],
    ["1,026 bytes in 513 characters", `in/${"é".repeat(511)}x`],
    ["a line end", "in/a\nb"],
    ["NUL", "in/\u0000"],
    ["DEL", "in/\u007f"],
    ["a C1 control", "in/\u0085"],
    ["a way up", "in/../results/a.json"],
    ["a way up at the end", "in/.."],
    ["a way to itself", "in/./a"],
    ["nothing", ""],
  ])("%s", async (_, key) => {
    const asked = objects().get({ bucket: "kamado", key }, { maxBytes: 1 });
    const error = (await asked.catch((thrown) => thrown)) as KamadoError;
    expect([error.code, error.retry]).toEqual(["unsupported_address", false]);
    expect(error.message.length).toBeLessThan(200);
  });

  test.each([`in/${"k".repeat(1_021)}`, "in/..a/b...", "in/%2e%2e/%00", "in/a b+c", "in/\u{10ffff}"])(
    "a good one is asked for",
    async (key) => {
      const asked = objects().get({ bucket: "kamado", key }, { maxBytes: 1 });
      await expect(asked).rejects.toMatchObject({ code: "object_not_found" });
    },
  );
});
