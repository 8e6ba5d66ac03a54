// An object store in memory whose calls can be made to fail or to wait. It passes the same suite as the real ones.

import { type Clock, systemClock } from "../../worker/async/clock.ts";
import { type ErrorCode, KamadoError } from "../../worker/errors.ts";
import {
  type Blobs,
  type Condition,
  formatAddress,
  type ObjectAddress,
} from "../../worker/storage/bucket.ts";

export type BlobCall = "get" | "put" | "exists" | "putIf" | "remove" | "list";

/** What goes wrong with one call: it fails with a code, with or without having happened, or it takes long. */
export type BlobFault = { is: "fail" | "drop"; code?: ErrorCode } | { is: "delay"; ms: number };

type StoredObject = { bytes: Uint8Array; contentType: string; etag: string; modified: number };

export class FakeBlobs implements Blobs {
  /** By address, `s3://bucket/key`. */
  readonly objects = new Map<string, StoredObject>();
  readonly calls: Record<BlobCall, number> = { get: 0, put: 0, exists: 0, putIf: 0, remove: 0, list: 0 };
  /** A store that takes conditional writes for plain ones, when a test says so. */
  ignoresConditions = false;
  #writes = 0;
  readonly #faults: { call: BlobCall; fault: BlobFault }[] = [];
  readonly #clock: Clock;
  readonly #buckets: ReadonlySet<string>;

  constructor({
    buckets = ["kamado"],
    clock = systemClock,
  }: { buckets?: readonly string[]; clock?: Clock } = {}) {
    this.#buckets = new Set(buckets);
    this.#clock = clock;
  }

  /** The next call of this kind goes wrong so; several faults wait in line. */
  next(call: BlobCall, fault: BlobFault): this {
    this.#faults.push({ call, fault });
    return this;
  }

  get(address: ObjectAddress, options: { maxBytes: number; signal?: AbortSignal }) {
    return this.#run("get", options.signal, () => {
      const found = this.objects.get(formatAddress(address));
      if (!found)
        throw new KamadoError("object_not_found", `${formatAddress(address)}: there is no such object.`);
      if (found.bytes.length > options.maxBytes)
        throw new KamadoError(
          "input_too_large",
          `${formatAddress(address)}: the limit is ${options.maxBytes}.`,
        );
      const { bytes, contentType, etag, modified } = found;
      return { bytes: bytes.slice(), contentType, etag, ageMs: this.#clock.wall() - modified };
    });
  }

  put(
    address: ObjectAddress,
    body: string | Uint8Array,
    options: { contentType: string; signal?: AbortSignal },
  ) {
    return this.#run("put", options.signal, () => {
      this.#write(address, body, options.contentType);
    });
  }

  putIf(address: ObjectAddress, body: string, condition: Condition): Promise<string | null> {
    return this.#run("putIf", undefined, () => {
      const etag = this.objects.get(formatAddress(address))?.etag;
      const holds = condition === "absent" ? etag === undefined : etag === condition.etag;
      return holds || this.ignoresConditions ? this.#write(address, body, "application/json") : null;
    });
  }

  remove(addresses: readonly ObjectAddress[]): Promise<void> {
    return this.#run("remove", undefined, () => {
      for (const address of addresses) this.objects.delete(formatAddress(address));
    });
  }

  list(bucket: string, prefix: string) {
    return this.#run("list", undefined, () => {
      const from = formatAddress({ bucket, key: prefix });
      const found = [...this.objects].filter(([address]) => address.startsWith(from));
      return found.map(([address, { modified }]) => ({
        key: address.slice(`s3://${bucket}/`.length),
        modified,
      }));
    });
  }

  #write(address: ObjectAddress, body: string | Uint8Array, contentType: string): string {
    if (!this.#buckets.has(address.bucket))
      throw new KamadoError("storage_unavailable", `${formatAddress(address)}: there is no such bucket.`);
    const bytes = Uint8Array.from(Buffer.from(body));
    const etag = `"${++this.#writes}"`;
    this.objects.set(formatAddress(address), { bytes, contentType, etag, modified: this.#clock.wall() });
    return etag;
  }

  exists(address: ObjectAddress): Promise<boolean> {
    return this.#run("exists", undefined, () => this.objects.has(formatAddress(address)));
  }

  async #run<T>(call: BlobCall, signal: AbortSignal | undefined, act: () => T): Promise<T> {
    this.calls[call] += 1;
    const index = this.#faults.findIndex((one) => one.call === call);
    const fault = index < 0 ? undefined : this.#faults.splice(index, 1)[0]!.fault;
    if (fault?.is === "delay") await this.#clock.sleep(fault.ms, signal);
    signal?.throwIfAborted();
    const failure = () =>
      new KamadoError(
        (fault as { code?: ErrorCode }).code ?? "storage_unavailable",
        "the fake store is told to fail",
      );
    if (fault?.is === "fail") throw failure();
    const answer = act();
    if (fault?.is === "drop") throw failure();
    return answer;
  }
}
