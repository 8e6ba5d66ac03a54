// Fetches what a job's input names, before the handler runs: an object, an address, or bytes that stand in the input itself. It
// owns the limits of size and the decoding of text. data: URIs and base64 are left to data-uri.ts; which objects may be read, to
// storage/readable-objects.ts; which addresses may be reached, to outbound/; making a picture safe, to images/; what can be read of a page,
// to pages/.

import { decodeBase64, decodeDataUri, isDataUri } from "../data-uri.ts";
import { KamadoError, shapeOf, toKamadoError } from "../errors.ts";
import { unpackByContent } from "../http/content-encoding.ts";
import { decodeText } from "../http/text-encoding.ts";
import { IMAGE_LIMITS, type ImageLimits, safeImage } from "../images/safe-image.ts";
import { type Budgets, budgetExceeded } from "../job/budgets.ts";
import {
  type Fetched,
  type InputRef,
  type InputRefs,
  type Page,
  type SafeImage,
  whyUnreadable,
} from "../job/handler.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { Documents } from "../pages/article.ts";
import { MAX_PAGE_BYTES, type PageReader } from "../pages/page-reader.ts";
import { parseAddress } from "../storage/bucket.ts";
import type { ReadableObjects } from "../storage/readable-objects.ts";

export type InputsOptions = {
  outbound: Pick<Outbound, "getBytes">;
  objects: Pick<ReadableObjects, "get">;
  pages: Pick<PageReader, "fetch" | "pageOf"> & Documents;
  limits?: { image?: ImageLimits; maxTextBytes?: number };
  budgets: Pick<Budgets, "inputs" | "inputBytes">;
};
export type Inputs = (refs: InputRefs, signal: AbortSignal) => Promise<Fetched<InputRefs>>;

const MAX_TEXT_BYTES = 5_000_000;
// Shorter than any picture: what looks like base64 below this is a file's name or a mistake.
const MIN_BARE_BASE64 = 64;

/** Throws coded errors whose message begins with the field's name; the first one stops the other fetches. */
export function createInputs(options: InputsOptions): Inputs {
  return async (refs, signal) => {
    const given = Object.entries(refs).filter(([, ref]) => ref).length;
    if (given > options.budgets.inputs) throw budgetExceeded("inputs", options.budgets.inputs, given);
    const bytes = new ByteBudget(options.budgets.inputBytes);
    const enough = new AbortController();
    const either = AbortSignal.any([signal, enough.signal]);
    const entries = Object.entries(refs).map(async ([field, ref]) => {
      if (!ref) return [field, undefined] as const;
      try {
        return [field, await fetchInput(ref, options, bytes, either)] as const;
      } catch (thrown) {
        signal.throwIfAborted();
        if ("mayFail" in ref && whyUnreadable(thrown)) return [field, naming(field, thrown)] as const;
        throw naming(field, thrown);
      }
    });
    try {
      return Object.fromEntries(await Promise.all(entries)) as Fetched<InputRefs>;
    } finally {
      enough.abort();
    }
  };
}

async function fetchInput(
  { from, as }: InputRef,
  options: InputsOptions,
  budget: ByteBudget,
  signal: AbortSignal,
): Promise<SafeImage | Page | string> {
  const { image = {}, maxTextBytes = MAX_TEXT_BYTES } = options.limits ?? {};
  if (as === "page" && isWeb(from)) return pageAt(from, options, budget, signal);
  const own = { text: maxTextBytes, page: MAX_PAGE_BYTES, image: image.maxBytes ?? IMAGE_LIMITS.maxBytes }[
    as
  ];
  const { bytes, contentType } = await budget.spend(own, async (maxBytes) => {
    if (as === "image" && isBareBase64(from))
      return { bytes: decodeBase64(from, maxBytes), contentType: null };
    const body = await bodyOf(from, maxBytes, options, signal);
    const unpacked = await unpackByContent(body.bytes, {
      maxBytes,
      tooLarge: () => new KamadoError("input_too_large", `unpacked, it has more than ${maxBytes} bytes.`),
      broken: (why) => bad(`it ${why}`),
    });
    return { ...body, bytes: unpacked };
  });
  if (as === "page") return options.pages.document({ bytes, contentType, url: null });
  return as === "text" ? textOf(bytes, contentType) : safeImage(bytes, image, signal);
}

async function pageAt(
  url: string,
  { pages }: InputsOptions,
  budget: ByteBudget,
  signal: AbortSignal,
): Promise<Page> {
  const answer = await budget.spend(MAX_PAGE_BYTES, async (maxBytes) => {
    const fetched = await pages.fetch(url, { signal });
    const { length } = fetched.bytes;
    if (length <= maxBytes) return fetched;
    throw new KamadoError("input_too_large", `it has ${length} bytes; the limit is ${maxBytes}.`);
  });
  return pages.pageOf(answer);
}

const isWeb = (from: string) => /^\s*https?:\/\//i.test(from);

/** What the inputs of one job may have in all. An input holds as much as it may have until it is there. */
class ByteBudget {
  readonly #limit: number;
  #spent = 0;
  #held = 0;
  #released = Promise.withResolvers<void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** `fetch` gets the most bytes that it may return. Throws `budget_exceeded` if that is less than there are. */
  async spend<T extends { bytes: Uint8Array }>(
    own: number,
    fetch: (maxBytes: number) => Promise<T>,
  ): Promise<T> {
    while (this.#held > 0 && this.#left < own) await this.#released.promise;
    const maxBytes = Math.min(own, this.#left);
    this.#held += maxBytes;
    try {
      const fetched = await fetch(maxBytes);
      this.#spent += fetched.bytes.length;
      return fetched;
    } catch (thrown) {
      const isTooLong = thrown instanceof KamadoError && thrown.code === "input_too_large";
      if (!isTooLong || maxBytes === own) throw thrown;
      const needed = `${this.#spent} so far and more than ${maxBytes} for the next one`;
      throw budgetExceeded("inputBytes", this.#limit, needed, thrown);
    } finally {
      this.#held -= maxBytes;
      this.#released.resolve();
      this.#released = Promise.withResolvers();
    }
  }

  get #left(): number {
    return this.#limit - this.#spent - this.#held;
  }
}

type Body = { bytes: Uint8Array; contentType: string | null };

async function bodyOf(
  from: string,
  maxBytes: number,
  { outbound, objects }: InputsOptions,
  signal: AbortSignal,
): Promise<Body> {
  if (isDataUri(from)) return { bytes: decodeDataUri(from, maxBytes), contentType: dataTypeOf(from) };
  if (isWeb(from)) return outbound.getBytes(from, { maxBytes, signal });
  const address = parseAddress(from);
  if (!address) throw new KamadoError("unsupported_address", `${shapeOf(from)} is no address.`);
  return objects.get(address, { maxBytes, signal });
}

/** What stands before the data of a data: URI is read up to here. Characters. */
const MAX_DATA_TYPE = 500;
const dataTypeOf = (uri: string) =>
  uri
    .slice(0, MAX_DATA_TYPE)
    .split(",")[0]!
    .replace(/^\s*data:/i, "");

const isBareBase64 = (from: string) =>
  from.length >= MIN_BARE_BASE64 && /^[A-Za-z0-9+/_\s-]+={0,2}\s*$/.test(from.slice(0, 1_000));

function textOf(bytes: Uint8Array, contentType: string | null): string {
  const text = decodeText(bytes, contentType);
  if (text === null) throw bad("the text is in no character set that is known, or damaged; send it in UTF-8");
  return text;
}

function naming(field: string, thrown: unknown): KamadoError {
  const { code, message, detail } = toKamadoError(thrown, "fetch_failed");
  return new KamadoError(code, `${field}: ${message}`, { cause: thrown, detail });
}

const bad = (what: string) => new KamadoError("invalid_input", `${what}.`);
