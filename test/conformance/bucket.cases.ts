// What every object store promises the worker. One suite for the fake, the embedded AWS and any other.
import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import type { Blobs } from "../../worker/storage/bucket.ts";
import type { Promises } from "./suite.ts";

export type BlobsHarness = {
  blobs: Blobs;
  /** A bucket that exists and is the suite's own. */
  bucket: string;
};

const MANY = { maxBytes: 1_000_000 };
const TEXT = { contentType: "text/plain" };

export const blobsCases = {
  async "an object comes back byte for byte, with its type"({ blobs, bucket }) {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
    const address = { bucket, key: "in/photo.jpg" };
    await blobs.put(address, bytes, { contentType: "image/jpeg" });
    const found = await blobs.get(address, MANY);
    expect(Buffer.from(found.bytes).equals(bytes)).toBe(true);
    expect(found.contentType).toBe("image/jpeg");
  },

  async "a photo of a good camera is carried in one piece"({ blobs, bucket }) {
    const address = { bucket, key: "in/big.jpg" };
    const size = 12 * 1024 * 1024;
    await blobs.put(address, Buffer.alloc(size, 7), { contentType: "image/jpeg" });
    expect((await blobs.get(address, { maxBytes: size })).bytes.length).toBe(size);
  },

  async "a text is stored as UTF-8"({ blobs, bucket }) {
    const address = { bucket, key: "results/text.json" };
    await blobs.put(address, '{"t":"牛乳"}', { contentType: "application/json" });
    expect(Buffer.from((await blobs.get(address, MANY)).bytes).toString()).toBe('{"t":"牛乳"}');
  },

  async "an empty object is an object"({ blobs, bucket }) {
    const address = { bucket, key: "in/empty" };
    await blobs.put(address, "", TEXT);
    expect((await blobs.get(address, MANY)).bytes.length).toBe(0);
    expect(await blobs.exists(address)).toBe(true);
  },

  async "writing again replaces"({ blobs, bucket }) {
    const address = { bucket, key: "results/again.json" };
    await blobs.put(address, "a longer first one", TEXT);
    await blobs.put(address, "second", TEXT);
    expect(Buffer.from((await blobs.get(address, MANY)).bytes).toString()).toBe("second");
  },

  async "any key works: spaces, signs, other scripts, dots"({ blobs, bucket }) {
    for (const key of ["in/a b+c&d=e?.txt", "in/写真 (1).jpg", "in/a..b/%41.txt", "in/#1"]) {
      await blobs.put({ bucket, key }, key, TEXT);
      expect(Buffer.from((await blobs.get({ bucket, key }, MANY)).bytes).toString()).toBe(key);
    }
  },

  async "keys that differ by case only are two objects"({ blobs, bucket }) {
    for (const key of ["results/Job.json", "results/job.json"]) await blobs.put({ bucket, key }, key, TEXT);
    const { bytes } = await blobs.get({ bucket, key: "results/Job.json" }, MANY);
    expect(Buffer.from(bytes).toString()).toBe("results/Job.json");
  },

  async "an object of exactly the limit is read, one byte more is refused"({ blobs, bucket }) {
    const address = { bucket, key: "in/limit" };
    await blobs.put(address, "x".repeat(100), TEXT);
    expect((await blobs.get(address, { maxBytes: 100 })).bytes.length).toBe(100);
    await expect(blobs.get(address, { maxBytes: 99 })).rejects.toMatchObject({ code: "input_too_large" });
  },

  async "of many who write one object where there is none, one does"({ blobs, bucket }) {
    const address = { bucket, key: "running/one.json" };
    const tries = await Promise.all(
      Array.from({ length: 8 }, (_, index) => blobs.putIf(address, `"${index}"`, "absent")),
    );
    const won = tries.findIndex((etag) => etag !== null);
    expect(tries.filter((etag) => etag !== null)).toHaveLength(1);
    const { bytes, etag } = await blobs.get(address, MANY);
    expect(Buffer.from(bytes).toString()).toBe(`"${won}"`);
    expect(etag).toBe(tries[won]);
  },

  async "of many who replace what they read, one does"({ blobs, bucket }) {
    const address = { bucket, key: "running/two.json" };
    const etag = (await blobs.putIf(address, '"first"', "absent"))!;
    const tries = await Promise.all(
      Array.from({ length: 8 }, (_, index) => blobs.putIf(address, `"${index}"`, { etag })),
    );
    expect(tries.filter((one) => one !== null)).toHaveLength(1);
  },

  async "nobody writes anew what is there, or replaces what has changed or is gone"({ blobs, bucket }) {
    const address = { bucket, key: "running/three.json" };
    const first = (await blobs.putIf(address, '"first"', "absent"))!;
    expect(await blobs.putIf(address, '"anew"', "absent")).toBeNull();
    const second = (await blobs.putIf(address, '"second"', { etag: first }))!;
    expect(await blobs.putIf(address, '"third"', { etag: first })).toBeNull();
    expect(Buffer.from((await blobs.get(address, MANY)).bytes).toString()).toBe('"second"');
    await blobs.remove([address]);
    expect(await blobs.putIf(address, '"late"', { etag: second })).toBeNull();
    expect(await blobs.exists(address)).toBe(false);
  },

  async "an object knows its age by the store's clock"({ blobs, bucket }) {
    const address = { bucket, key: "running/young.json" };
    await blobs.putIf(address, "{}", "absent");
    const age = async () => (await blobs.get(address, MANY)).ageMs;
    expect(await age()).toBeLessThan(60_000);
    // Stores tell whole seconds.
    await expect.poll(age, { timeout: 10_000, interval: 200 }).toBeGreaterThanOrEqual(500);
    expect(await age()).toBeLessThan(60_000);
  },

  async "what is removed is gone, one or many, and removing it again is no error"({ blobs, bucket }) {
    const addresses = ["running/a.json", "running/b c.json", "running/é.json"].map((key) => ({
      bucket,
      key,
    }));
    for (const address of addresses) await blobs.put(address, "x", TEXT);
    await blobs.remove([addresses[0]!]);
    await blobs.remove(addresses);
    for (const address of addresses) expect(await blobs.exists(address)).toBe(false);
    await blobs.remove([]);
  },

  async "every object under a prefix is listed, and nothing beside it"({ blobs, bucket }) {
    const keys = ["cancel/a", "cancel/b:1", "cancel/.changed"];
    for (const key of [...keys, "cancelled", "results/a"]) await blobs.put({ bucket, key }, "x", TEXT);
    const found = await blobs.list(bucket, "cancel/");
    expect(found.map(({ key }) => key).toSorted()).toEqual(keys.toSorted());
    expect(found.every(({ modified }) => modified > 0)).toBe(true);
    expect(await blobs.list(bucket, "nothing/")).toEqual([]);
  },

  async "what is not there is told apart"({ blobs, bucket }) {
    const address = { bucket, key: "in/missing" };
    await expect(blobs.get(address, MANY)).rejects.toMatchObject({ code: "object_not_found" });
    expect(await blobs.exists(address)).toBe(false);
  },

  async "a missing bucket is the job's mistake when read, and the house's when written"({ blobs }) {
    const address = { bucket: `no-such-bucket-${randomUUID()}`, key: "x" };
    await expect(blobs.get(address, MANY)).rejects.toMatchObject({ code: "object_not_found" });
    await expect(blobs.put(address, "x", TEXT)).rejects.toMatchObject({ code: "storage_unavailable" });
  },

  async "a call whose signal has fired rejects with the signal's reason"({ blobs, bucket }) {
    const reason = new KamadoError("stopping", "The worker stops.");
    const signal = AbortSignal.abort(reason);
    const address = { bucket, key: "in/never" };
    await expect(blobs.get(address, { ...MANY, signal })).rejects.toBe(reason);
    await expect(blobs.put(address, "x", { ...TEXT, signal })).rejects.toBe(reason);
    expect(await blobs.exists(address)).toBe(false);
  },
} satisfies Promises<BlobsHarness>;
