// A bucket in memory. A test can make its calls fail or wait. It passes the same suite as the real ones.
import { type Clock, systemClock } from "../../worker/async/clock.ts";
import { type ErrorCode, KamadoError } from "../../worker/errors.ts";
import { addressOf, type Bucket, type Condition } from "../../worker/storage/bucket.ts";

export type BucketCall = "get" | "put" | "exists" | "putIf" | "remove" | "list";

/** What goes wrong with one call: `fail` before it has an effect, `drop` after it, or a delay. */
export type BucketFault = { is: "fail" | "drop"; code?: ErrorCode } | { is: "delay"; ms: number };

type StoredObject = { bytes: Uint8Array; contentType: string; etag: string; modified: number };

export class FakeBucket implements Bucket {
  readonly name: string;
  /** By address, `s3://bucket/key`. */
  readonly objects = new Map<string, StoredObject>();
  readonly calls: Record<BucketCall, number> = { get: 0, put: 0, exists: 0, putIf: 0, remove: 0, list: 0 };
  /** Whether this store ignores conditions and writes anyway. */
  ignoresConditions = false;
  /** Whether there is no such bucket. */
  isMissing = false;
  #writes = 0;
  readonly #faults: { call: BucketCall; fault: BucketFault }[] = [];
  readonly #clock: Clock;

  constructor({ name = "kamado", clock = systemClock }: { name?: string; clock?: Clock } = {}) {
    this.name = name;
    this.#clock = clock;
  }

  /** Makes the next call of this kind go wrong; several faults apply one after another. */
  next(call: BucketCall, fault: BucketFault): this {
    this.#faults.push({ call, fault });
    return this;
  }

  get(key: string, options: { maxBytes: number; signal?: AbortSignal }) {
    return this.#run("get", options.signal, () => {
      const address = addressOf(this, key);
      const found = this.objects.get(address);
      if (!found) throw new KamadoError("object_not_found", `${address}: there is no such object.`);
      if (found.bytes.length > options.maxBytes)
        throw new KamadoError("input_too_large", `${address}: the limit is ${options.maxBytes}.`);
      const { bytes, contentType, etag, modified } = found;
      return { bytes: bytes.slice(), contentType, etag, ageMs: this.#clock.wall() - modified };
    });
  }

  put(key: string, body: string | Uint8Array, options: { contentType: string; signal?: AbortSignal }) {
    return this.#run("put", options.signal, () => {
      this.#write(key, body, options.contentType);
    });
  }

  putIf(key: string, body: string, condition: Condition): Promise<string | null> {
    return this.#run("putIf", undefined, () => {
      const etag = this.objects.get(addressOf(this, key))?.etag;
      const holds = condition === "absent" ? etag === undefined : etag === condition.etag;
      return holds || this.ignoresConditions ? this.#write(key, body, "application/json") : null;
    });
  }

  remove(keys: readonly string[]): Promise<void> {
    return this.#run("remove", undefined, () => {
      for (const key of keys) this.objects.delete(addressOf(this, key));
    });
  }

  list(prefix: string) {
    return this.#run("list", undefined, () => {
      if (this.isMissing) throw new KamadoError("storage_unavailable", "there is no such bucket.");
      const [root, from] = [addressOf(this, ""), addressOf(this, prefix)];
      return [...this.objects]
        .filter(([address]) => address.startsWith(from))
        .map(([address, { modified }]) => ({ key: address.slice(root.length), modified }));
    });
  }

  exists(key: string): Promise<boolean> {
    return this.#run("exists", undefined, () => this.objects.has(addressOf(this, key)));
  }

  #write(key: string, body: string | Uint8Array, contentType: string): string {
    const address = addressOf(this, key);
    if (this.isMissing) throw new KamadoError("storage_unavailable", `${address}: there is no such bucket.`);
    const bytes = Uint8Array.from(Buffer.from(body));
    const etag = `"${++this.#writes}"`;
    this.objects.set(address, { bytes, contentType, etag, modified: this.#clock.wall() });
    return etag;
  }

  async #run<T>(call: BucketCall, signal: AbortSignal | undefined, act: () => T): Promise<T> {
    this.calls[call] += 1;
    const index = this.#faults.findIndex((one) => one.call === call);
    const fault = index < 0 ? undefined : this.#faults.splice(index, 1)[0]!.fault;
    if (fault?.is === "delay") await this.#clock.sleep(fault.ms, signal);
    signal?.throwIfAborted();
    const failure = () =>
      new KamadoError(
        (fault as { code?: ErrorCode }).code ?? "storage_unavailable",
        "the fake bucket fails because the test says so",
        { detail: { bucket: this.name } },
      );
    if (fault?.is === "fail") throw failure();
    const answer = act();
    if (fault?.is === "drop") throw failure();
    return answer;
  }
}
