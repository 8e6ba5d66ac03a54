// The object store as the worker sees it. Adapters: s3.ts, and a fake in test/.

export type ObjectAddress = { bucket: string; key: string };

export interface Blobs {
  /** Reads an object of at most `maxBytes`; a longer one is refused before its body is read. Throws `object_not_found`, `object_forbidden`, `input_too_large`, `storage_unavailable`. */
  get(
    address: ObjectAddress,
    options: { maxBytes: number; signal?: AbortSignal },
  ): Promise<{ bytes: Uint8Array; contentType: string | null }>;
  /** Writes an object. Throws `storage_unavailable`, `object_forbidden`. */
  put(
    address: ObjectAddress,
    body: string | Uint8Array,
    options: { contentType: string; signal?: AbortSignal },
  ): Promise<void>;
  /** Whether an object is there. Throws `storage_unavailable`, `object_forbidden`. */
  exists(address: ObjectAddress): Promise<boolean>;
}

/** `s3://bucket/key` in its two parts; null when it is no such address. */
export function parseAddress(address: string): ObjectAddress | null {
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/s.exec(address);
  return found ? { bucket: found[1]!, key: found[2]! } : null;
}

export const formatAddress = ({ bucket, key }: ObjectAddress) => `s3://${bucket}/${key}`;
