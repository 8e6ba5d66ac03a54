// An object store in memory whose calls can be made to fail or to wait. It passes the same suite as the real ones.
import { type Blobs, formatAddress, type ObjectAddress } from "../../worker/blobs/blobs.ts";
import { type Clock, systemClock } from "../../worker/clock.ts";
import { type ErrorCode, KamadoError } from "../../worker/errors.ts";

export type BlobCall = "get" | "put" | "exists";

/** What goes wrong with one call: it fails with a code, with or without having happened, or it takes long. */
export type BlobFault = { is: "fail" | "drop"; code?: ErrorCode } | { is: "delay"; ms: number };

type StoredObject = { bytes: Uint8Array; contentType: string };

export class FakeBlobs implements Blobs {
  /** By address, `s3://bucket/key`. */
  readonly objects = new Map<string, StoredObject>();
  readonly calls: Record<BlobCall, number> = { get: 0, put: 0, exists: 0 };
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
      return { bytes: found.bytes.slice(), contentType: found.contentType as string | null };
    });
  }

  put(
    address: ObjectAddress,
    body: string | Uint8Array,
    options: { contentType: string; signal?: AbortSignal },
  ) {
    return this.#run("put", options.signal, () => {
      if (!this.#buckets.has(address.bucket))
        throw new KamadoError("storage_unavailable", `${formatAddress(address)}: there is no such bucket.`);
      const bytes = Uint8Array.from(Buffer.from(body));
      this.objects.set(formatAddress(address), { bytes, contentType: options.contentType });
    });
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
