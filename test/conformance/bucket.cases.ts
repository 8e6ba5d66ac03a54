// What every bucket promises the worker. One suite for the fake, the embedded AWS and any other.
import { expect } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import type { Bucket } from "../../worker/storage/bucket.ts";
import type { Promises } from "./suite.ts";

export type BucketHarness = {
  /** It exists and is the suite's own. */
  bucket: Bucket;
  /** One that does not exist. */
  missing: Bucket;
};

const MANY = { maxBytes: 1_000_000 };
const TEXT = { contentType: "text/plain" };
const textOf = async (bucket: Bucket, key: string) =>
  Buffer.from((await bucket.get(key, MANY)).bytes).toString();

export const bucketCases = {
  async "an object comes back byte for byte, with its type"({ bucket }) {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
    const key = "in/photo.jpg";
    await bucket.put(key, bytes, { contentType: "image/jpeg" });
    const found = await bucket.get(key, MANY);
    expect(Buffer.from(found.bytes).equals(bytes)).toBe(true);
    expect(found.contentType).toBe("image/jpeg");
  },

  async "a photo of a good camera is carried in one piece"({ bucket }) {
    const key = "in/big.jpg";
    const size = 12 * 1024 * 1024;
    await bucket.put(key, Buffer.alloc(size, 7), { contentType: "image/jpeg" });
    expect((await bucket.get(key, { maxBytes: size })).bytes.length).toBe(size);
  },

  async "a text is stored as UTF-8"({ bucket }) {
    const key = "results/text.json";
    await bucket.put(key, '{"t":"牛乳"}', { contentType: "application/json" });
    expect(await textOf(bucket, key)).toBe('{"t":"牛乳"}');
  },

  async "an empty object is an object"({ bucket }) {
    const key = "in/empty";
    await bucket.put(key, "", TEXT);
    expect((await bucket.get(key, MANY)).bytes.length).toBe(0);
    expect(await bucket.exists(key)).toBe(true);
  },

  async "writing again replaces"({ bucket }) {
    const key = "results/again.json";
    await bucket.put(key, "a longer first one", TEXT);
    await bucket.put(key, "second", TEXT);
    expect(await textOf(bucket, key)).toBe("second");
  },

  async "any key works: spaces, signs, other scripts, dots"({ bucket }) {
    for (const key of ["in/a b+c&d=e?.txt", "in/写真 (1).jpg", "in/a..b/%41.txt", "in/#1"]) {
      await bucket.put(key, key, TEXT);
      expect(await textOf(bucket, key)).toBe(key);
    }
  },

  async "keys that differ by case only are two objects"({ bucket }) {
    for (const key of ["results/Job.json", "results/job.json"]) await bucket.put(key, key, TEXT);
    expect(await textOf(bucket, "results/Job.json")).toBe("results/Job.json");
  },

  async "an object of exactly the limit is read, one byte more is refused"({ bucket }) {
    const key = "in/limit";
    await bucket.put(key, "x".repeat(100), TEXT);
    expect((await bucket.get(key, { maxBytes: 100 })).bytes.length).toBe(100);
    await expect(bucket.get(key, { maxBytes: 99 })).rejects.toMatchObject({ code: "input_too_large" });
  },

  async "of many who write one object where there is none, one does"({ bucket }) {
    const key = "running/one.json";
    const tries = await Promise.all(
      Array.from({ length: 8 }, (_, index) => bucket.putIf(key, `"${index}"`, "absent")),
    );
    const won = tries.findIndex((etag) => etag !== null);
    expect(tries.filter((etag) => etag !== null)).toHaveLength(1);
    const { bytes, etag } = await bucket.get(key, MANY);
    expect(Buffer.from(bytes).toString()).toBe(`"${won}"`);
    expect(etag).toBe(tries[won]);
  },

  async "of many who replace what they read, one does"({ bucket }) {
    const key = "running/two.json";
    const etag = (await bucket.putIf(key, '"first"', "absent"))!;
    const tries = await Promise.all(
      Array.from({ length: 8 }, (_, index) => bucket.putIf(key, `"${index}"`, { etag })),
    );
    expect(tries.filter((one) => one !== null)).toHaveLength(1);
  },

  async "nobody creates an object that exists, or replaces one that has changed or is gone"({ bucket }) {
    const key = "running/three.json";
    const first = (await bucket.putIf(key, '"first"', "absent"))!;
    expect(await bucket.putIf(key, '"anew"', "absent")).toBeNull();
    const second = (await bucket.putIf(key, '"second"', { etag: first }))!;
    expect(await bucket.putIf(key, '"third"', { etag: first })).toBeNull();
    expect(await textOf(bucket, key)).toBe('"second"');
    await bucket.remove([key]);
    expect(await bucket.putIf(key, '"late"', { etag: second })).toBeNull();
    expect(await bucket.exists(key)).toBe(false);
  },

  async "an object knows its age by the store's clock"({ bucket }) {
    const key = "running/young.json";
    await bucket.putIf(key, "{}", "absent");
    const age = async () => (await bucket.get(key, MANY)).ageMs;
    expect(await age()).toBeLessThan(60_000);
    // Stores tell whole seconds.
    await expect.poll(age, { timeout: 10_000, interval: 200 }).toBeGreaterThanOrEqual(500);
    expect(await age()).toBeLessThan(60_000);
  },

  async "what is removed is gone, one or many, and removing it again is no error"({ bucket }) {
    const keys = ["running/a.json", "running/b c.json", "running/é.json"];
    for (const key of keys) await bucket.put(key, "x", TEXT);
    await bucket.remove([keys[0]!]);
    await bucket.remove(keys);
    for (const key of keys) expect(await bucket.exists(key)).toBe(false);
    await bucket.remove([]);
  },

  async "every object under a prefix is listed, and no other"({ bucket }) {
    const keys = ["cancel/a", "cancel/b:1", "cancel/.changed"];
    for (const key of [...keys, "cancelled", "results/a"]) await bucket.put(key, "x", TEXT);
    const found = await bucket.list("cancel/");
    expect(found.map(({ key }) => key).toSorted()).toEqual(keys.toSorted());
    expect(found.every(({ modified }) => modified > 0)).toBe(true);
    expect(await bucket.list("nothing/")).toEqual([]);
  },

  async "a missing object has an error of its own"({ bucket }) {
    const key = "in/missing";
    await expect(bucket.get(key, MANY)).rejects.toMatchObject({ code: "object_not_found" });
    expect(await bucket.exists(key)).toBe(false);
  },

  async "a missing bucket is the job's mistake when read, and the operator's when written"({ missing }) {
    await expect(missing.get("x", MANY)).rejects.toMatchObject({ code: "object_not_found" });
    await expect(missing.put("x", "x", TEXT)).rejects.toMatchObject({ code: "storage_unavailable" });
  },

  async "a call whose signal has fired rejects with the signal's reason"({ bucket }) {
    const reason = new KamadoError("stopping", "The worker stops.");
    const signal = AbortSignal.abort(reason);
    const key = "in/never";
    await expect(bucket.get(key, { ...MANY, signal })).rejects.toBe(reason);
    await expect(bucket.put(key, "x", { ...TEXT, signal })).rejects.toBe(reason);
    expect(await bucket.exists(key)).toBe(false);
  },
} satisfies Promises<BucketHarness>;
