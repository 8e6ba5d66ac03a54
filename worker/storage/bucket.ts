// The object store as the worker sees it. Adapters: s3.ts, and a fake in test/.

export type ObjectAddress = { bucket: string; key: string };

/** What an object must be for a write to happen: not there at all, or still what was read. */
export type Condition = "absent" | { etag: string };

export type Found = {
  bytes: Uint8Array;
  contentType: string | null;
  /** Another one after every write. */
  etag: string;
  /** Since its last write, by the store's own clock, to the second; neither ours nor the writer's has to be right. */
  ageMs: number;
};

export interface Blobs {
  /** Reads an object of at most `maxBytes`; a longer one is refused before its body is read. Throws `object_not_found`, `object_forbidden`, `input_too_large`, `storage_unavailable`. */
  get(address: ObjectAddress, options: { maxBytes: number; signal?: AbortSignal }): Promise<Found>;
  /** Writes an object. Throws `storage_unavailable`, `object_forbidden`. */
  put(
    address: ObjectAddress,
    body: string | Uint8Array,
    options: { contentType: string; signal?: AbortSignal },
  ): Promise<void>;
  /** Whether an object is there. Throws `storage_unavailable`, `object_forbidden`. */
  exists(address: ObjectAddress): Promise<boolean>;
  /**
   * Writes only while the condition holds, at once with looking whether it does. Resolves with the new etag, or with null
   * when it does not hold. Stores that only resemble S3 may write all the same: a conditional write there is a plain one. Or
   * they refuse it: throws `storage_unavailable` with `detail.supportsConditions` false.
   */
  putIf(address: ObjectAddress, body: string, condition: Condition): Promise<string | null>;
  /** What is not there counts as removed. Throws `storage_unavailable`, `object_forbidden`. */
  remove(addresses: readonly ObjectAddress[]): Promise<void>;
  /** Every object whose key begins so. Throws `storage_unavailable`, `object_forbidden`. */
  list(bucket: string, prefix: string): Promise<{ key: string; modified: number }[]>;
}

/** `s3://bucket/key` in its two parts; null when it is no such address. */
export function parseAddress(address: string): ObjectAddress | null {
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/s.exec(address);
  return found ? { bucket: found[1]!, key: found[2]! } : null;
}

export const formatAddress = ({ bucket, key }: ObjectAddress) => `s3://${bucket}/${key}`;
