// The port to one S3 bucket. Adapters: s3.ts, and a fake in test/fakes. Which objects a job may read is in readable-objects.ts.

/** What an object must be like for a write to happen: absent, or unchanged since it was read. */
export type Condition = "absent" | { etag: string };

export type Found = {
  bytes: Uint8Array;
  contentType: string | null;
  /** Changes with every write. */
  etag: string;
  /** Time since the last write, by the store's own clock, to the second. No worker's clock has to be right. */
  ageMs: number;
};

export interface Bucket {
  readonly name: string;
  /**
   * Reads an object of at most `maxBytes`, unpacked as its content-encoding says; a longer one is refused before its body is read. Throws `object_not_found`,
   * `object_forbidden`, `object_unreadable` when the store refuses the request for another reason, `input_too_large`, and
   * `storage_unavailable` when another try may help: network, server errors, throttling, credentials.
   */
  get(key: string, options: { maxBytes: number; signal?: AbortSignal }): Promise<Found>;
  /** Writes an object. Throws `storage_unavailable`, `object_forbidden`. */
  put(
    key: string,
    body: string | Uint8Array,
    options: { contentType: string; signal?: AbortSignal },
  ): Promise<void>;
  /** Whether the object exists. Throws `storage_unavailable`, `object_forbidden`. */
  exists(key: string): Promise<boolean>;
  /**
   * Writes the object if the condition holds; check and write are one step. Resolves with the new etag, or with null when
   * the condition does not hold. Some stores that imitate S3 ignore conditions and write anyway. Others refuse them:
   * that throws `storage_unavailable` with `detail.supportsConditions` false.
   */
  putIf(key: string, body: string, condition: Condition): Promise<string | null>;
  /** Deletes the objects; one that does not exist is no error. Throws `storage_unavailable`, `object_forbidden`. */
  remove(keys: readonly string[]): Promise<void>;
  /** Every object whose key starts with `prefix`. Throws `storage_unavailable`, `object_forbidden`. */
  list(prefix: string): Promise<{ key: string; modified: number }[]>;
}

/** Buckets by name. */
export type Buckets<B = Bucket> = ReadonlyMap<string, B>;

export type ObjectAddress = { bucket: string; key: string };

/** Splits `s3://bucket/key`; null when the text is no such address. */
export function parseAddress(address: string): ObjectAddress | null {
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/s.exec(address);
  return found ? { bucket: found[1]!, key: found[2]! } : null;
}

export const addressOf = ({ name }: Pick<Bucket, "name">, key: string) => `s3://${name}/${key}`;
