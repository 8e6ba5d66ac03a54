// What a handler is and what it gets. Handlers import only zod and this folder: the engine, S3 and the network are behind these
// interfaces.
import type { z } from "zod";
import { type ErrorCode, KamadoError } from "../errors.ts";

/** A picture that is safe for an engine: decoded within limits, turned upright, made small and re-encoded. */
export type SafeImage = {
  /** `data:image/png;base64,…` or `data:image/jpeg;base64,…` */
  dataUri: string;
  /** pixels, after shrinking */
  width: number;
  height: number;
  /** of the re-encoded bytes, hex; the same picture has the same hash */
  sha256: string;
};

/** Why a page does not show what it is about, or not all of it. */
export type Obstacle = "javascript" | "consent" | "paywall" | "error";

/** What can be read of a page, a PDF or a text. */
export type Page = {
  /** The address that answered, after redirects; `null` for what came from no address. */
  url: string | null;
  /** The address that the page names as its own, absolute; otherwise `url`. */
  canonicalUrl: string | null;
  title: string | null;
  byline: string | null;
  /** The name of the site or the publisher. */
  site: string | null;
  /** When it was published, as an ISO 8601 date or date and time. */
  published: string | null;
  /** A BCP 47 tag such as `en` or `ja-JP`. */
  language: string | null;
  format: "html" | "feed" | "pdf" | "markdown" | "text";
  /** Plain text, one paragraph on each line. */
  text: string;
  /** The same with headings, lists, tables, code, quotes and links, as GitHub Flavored Markdown. */
  markdown: string;
  /** With an obstacle the text is what stands in the place of the page, or the part of it that is shown. */
  obstacle: Obstacle | null;
};

/** A part of a page, of whole paragraphs and sentences. */
export type Chunk = {
  /** Markdown. */
  text: string;
  /** The headings above it, the outermost first; the page's own title is left out. */
  path: string[];
  /** Where it stands in the page's Markdown: characters, the end exclusive. */
  start: number;
  end: number;
};

/**
 * An input that has to be fetched: `s3://bucket/key`, `https://…` or a `data:` URI. As a `page`, an address is read as a program may
 * read it: by the site's robots.txt and at its pace.
 */
export type InputRef =
  | { from: string; as: "image" | "text" | "page" }
  /** What cannot be read is an `Unread`, and the job goes on. */
  | { from: string; as: "page"; mayFail: true };
export type InputRefs = Record<string, InputRef | undefined>;
/** Why a page or an object cannot be read: an error, to be told or thrown. */
export type Unread = { code: string; message: string };
type FetchedInput<R> = R extends { mayFail: true }
  ? Page | Unread
  : R extends { as: "image" }
    ? SafeImage
    : R extends { as: "page" }
      ? Page
      : R extends InputRef
        ? string
        : undefined;
/** What a handler's `inputs` asked for, fetched: a picture for `image`, a `Page` for `page`, a string for `text`. */
export type Fetched<R extends InputRefs> = { [K in keyof R]: FetchedInput<R[K]> };

export type Question = {
  /** What the model must do: the system message. Written by the handler; only `prompt` lets its sender write it. */
  instructions: string;
  /** Text from outside: the user message, which is put between `<input>` and `</input>`. */
  content: string;
  image?: SafeImage | undefined;
};

export type Ask = Question & {
  maxTokens?: number;
  temperature?: number;
  /** Called when an answer in text was cut off at `maxTokens`. */
  onCutOff?(): void;
};

export type Choice<T extends string> = {
  /** The most probable option, or `uncertain` when its probability is below the threshold. */
  choice: T | "uncertain";
  /** The most probable option, whatever its probability. `null` when the model prefers none of them. */
  best: T | null;
  /** Each option's probability among the options, 0..1; they add up to 1. */
  probabilities: Record<T, number>;
};

/** A request of OpenAI's API. Its answer is not streamed. */
export type ApiRequest = {
  url: "/v1/chat/completions" | "/v1/completions";
  body: Record<string, unknown>;
};

export interface Model {
  /** The name of the model that answers, as far as the engine says it. Throws `engine_unavailable`. */
  name(): Promise<string | null>;
  /** The answer as text. Throws `answer_invalid`, and `answer_repetitive` when the model only repeated itself. */
  ask(question: Ask): Promise<string>;
  /**
   * The answer as a value that fits `schema`. The engine constrains it where it can; it is always validated, and the model
   * is asked once more when it does not fit. Throws `answer_invalid` or `answer_repetitive`.
   */
  ask<S extends z.ZodType>(question: Ask & { schema: S }): Promise<z.output<S>>;
  /** The same with a JSON schema from a sender. */
  ask(question: Ask & { jsonSchema: Record<string, unknown> }): Promise<unknown>;
  /** One of `options` with the probability that the model gives it. `threshold` [0.6] */
  decide<const T extends string>(
    question: Question & { options: readonly T[]; threshold?: number },
  ): Promise<Choice<T>>;
  /** The engine's whole answer to a request that somebody else wrote: nothing is added to its prompt, and nothing is checked in the answer. */
  complete(request: ApiRequest): Promise<Record<string, unknown>>;
}

export interface Pages {
  /**
   * What can be read of a page whose HTML is there. Throws `page_without_text` rather than return an empty text. `url` makes its links
   * absolute.
   */
  article(html: string, options?: { url?: string | undefined }): Promise<Page>;
  /**
   * Reads an address: a page, a PDF, a feed or a text. Throws `robots_refused`, `page_without_text`, `document_unreadable`, and what the
   * safe client throws (`fetch_failed`, `fetch_rejected`, `address_refused`, `unsupported_address`, `input_too_large`).
   */
  read(url: string, options?: { signal?: AbortSignal | undefined }): Promise<Page>;
  /** A page's Markdown in parts of at most `size` characters. [2,000] */
  chunks(page: Pick<Page, "title" | "markdown">, size?: number): Promise<Chunk[]>;
}

export interface Texts {
  /**
   * The text in parts of at most `size` characters, each of whole sentences. Unlike `chunkText`, it does not hold up other jobs,
   * however long the text is.
   */
  chunks(text: string, size: number): Promise<string[]>;
  /** How well each text fits the queries, by BM25: the best of the queries counts. 0 for a text with none of their words. */
  rank(texts: readonly string[], queries: readonly string[]): Promise<number[]>;
}

/** A page that a search found. */
export type SearchHit = { url: string; title: string; snippet: string; published: string | null };

export type SearchOptions = {
  count?: number | undefined;
  language?: string | undefined;
  signal?: AbortSignal | undefined;
  /** The service wants to be left alone for so long; then it is asked again. */
  onWait?: ((ms: number) => void) | undefined;
};

export interface Search {
  /** `null` where the owner has set up none: then `web` throws `search_not_set_up`. */
  readonly provider: string | null;
  /**
   * Searches the web. Waits as the provider's quota demands. Throws `search_failed`, which may pass, and `search_rejected`, which will
   * not; the message says why.
   */
  web(query: string, options?: SearchOptions): Promise<SearchHit[]>;
}

/** What a job has found out so far. Another run of the same job finds it again, on whichever worker. */
export interface Checkpoints {
  /** `undefined` for what is not there, or cannot be read. Throws `storage_unavailable`. */
  get(name: string): Promise<unknown>;
  /** The value as JSON. Throws `storage_unavailable`. */
  put(name: string, value: unknown): Promise<void>;
}

export interface Rest {
  /** GETs JSON through the safe client. */
  get(url: string): Promise<unknown>;
  /**
   * The open todos at an address, as the service has them: `{id, title, category?}`. Where the destinations file names a todo service for
   * the address, they are read as that service wants it; elsewhere it is `get`.
   */
  todos(url: string): Promise<unknown>;
}

/** What a job has used of the model so far. */
export type Used = { promptTokens: number; cachedTokens: number; completionTokens: number };

export type Context<R extends InputRefs = Record<string, never>> = {
  model: Model;
  pages: Pages;
  texts: Texts;
  rest: Rest;
  search: Search;
  checkpoints: Checkpoints;
  /**
   * The seconds that so much work takes the engine, by what this worker has measured while it asked; `null` while it has measured
   * nothing. What requests share at their beginning is cached, and need not be counted more than once.
   */
  estimate(work: { promptTokens: number; completionTokens: number }): number | null;
  /** What this run of the job may spend on the model in all. A handler that plans by it need not fail with `budget_exceeded`. */
  budget: { readonly requests: number; readonly tokens: number };
  used(): Used;
  /** How long the job may still run, in ms. When it is over, the job fails with `timed_out`. */
  timeLeftMs(): number;
  /** What `inputs` asked for, fetched and checked. */
  inputs: Fetched<R>;
  /** How much is done, 0..1, and what is happening. Shown live, never stored. */
  progress(done: number, what?: string): void;
  /** Fires when the lease is lost, the time is over, the job is canceled or the worker stops. */
  signal: AbortSignal;
};

/** Ends the job for good, with an error for its sender: its input cannot be processed. */
export function refuse(code: "invalid_input" | "input_too_large", message: string): never {
  throw new KamadoError(code, message);
}

const UNUSABLE: readonly string[] = ["answer_invalid", "answer_repetitive"];

/**
 * Why an answer of the model is of no use, for a handler that goes on without it. Undefined for every other error: the handler has to
 * throw it again.
 */
export function whyUnusable(thrown: unknown): string | undefined {
  return thrown instanceof KamadoError && UNUSABLE.includes(thrown.code) ? thrown.code : undefined;
}

const UNREADABLE: readonly string[] = [
  "robots_refused page_blocked page_without_text document_unreadable fetch_failed fetch_rejected address_refused",
  "unsupported_address input_too_large invalid_input object_not_found object_forbidden object_unreadable",
].flatMap((codes) => codes.split(" "));

/**
 * Why one page or object cannot be read, for a handler that goes on with the others. Undefined for every other error: the handler has to
 * throw it again.
 */
export function whyUnreadable(thrown: unknown): Unread | undefined {
  return thrown instanceof KamadoError && UNREADABLE.includes(thrown.code)
    ? { code: thrown.code, message: thrown.message }
    : undefined;
}

const OBSTACLES: Record<Obstacle, string> = {
  paywall: "only the part is shown that needs no subscription",
  javascript: "it shows its text only to a browser that runs its scripts",
  consent: "a question about consent, as to cookies, stands in its place",
  error: "what was sent is a page about an error",
};

/** What stands between a page and its text, as the end of a sentence about the page. */
export const obstacleWords = (obstacle: Obstacle): string => OBSTACLES[obstacle];

/** Whether something else stands in the place of a page. Of one behind a paywall, a part can be read. */
export const isBlocked = <P extends Pick<Page, "obstacle">>(
  page: P,
): page is P & { obstacle: Exclude<Obstacle, "paywall"> } =>
  page.obstacle !== null && page.obstacle !== "paywall";

/** Throws `page_blocked` for a page in whose place something else stands. */
export function refuseBlocked(page: Pick<Page, "obstacle" | "text">): void {
  if (!isBlocked(page)) return;
  const { obstacle, text } = page;
  const begins = text.replaceAll(/\s+/g, " ").trim().slice(0, 100);
  const shown = begins === "" ? "" : ` It begins: ${begins}`;
  throw new KamadoError("page_blocked", `The page cannot be read: ${OBSTACLES[obstacle]}.${shown}`);
}
/** The code of an error of Kamado's own, such as `fetch_failed`. Undefined for every other: the handler has to throw it again. */
export const codeOf = (thrown: unknown): ErrorCode | undefined =>
  thrown instanceof KamadoError ? thrown.code : undefined;

/** The REST call that applies a result. */
export type RestRequest = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  body?: unknown;
};

/** What becomes of a todo list: a new todo, or a note for one that is there. */
export type TodoChange = { title: string; note: string } | { id: string; note: string };

export type Handler<
  I extends z.ZodType = z.ZodType,
  O extends z.ZodType = z.ZodType,
  R extends InputRefs = InputRefs,
> = {
  kind: string;
  /** One sentence for people: what this kind does. */
  summary: string;
  input: I;
  output: O;
  /** Its results are only stored: without a destination in the job they do not go to the topic either. [false] */
  storedOnly?: boolean;
  /** Which parts of the input have to be fetched before `run`. */
  inputs?(input: z.output<I>): R;
  run(input: z.output<I>, context: Context<R>): Promise<z.input<O>>;
  /** The REST call that applies an output; `base` is the job's `rest` destination. `null` when there is nothing to do. */
  request?(output: z.output<O>, base: string, input: z.output<I>): RestRequest | null;
  /** The same for a `rest` destination that is a todo service of the destinations file, whatever its API. */
  todo?(output: z.output<O>, input: z.output<I>): TodoChange | null;
};

/** Declares a kind. The types of `run` and `request` follow from the schemas. */
export function defineHandler<
  I extends z.ZodType,
  O extends z.ZodType,
  R extends InputRefs = Record<string, never>,
>(handler: Handler<I, O, R>): Handler<I, O, R> {
  return handler;
}
