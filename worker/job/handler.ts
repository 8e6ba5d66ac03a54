// What a handler is and what it gets. Handlers import only zod and this folder: the engine, S3 and the network are behind these
// interfaces.
import type { z } from "zod";
import { KamadoError } from "../errors.ts";

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

/** An input that has to be fetched: `s3://bucket/key`, `https://…` or a `data:` URI. */
export type InputRef = { from: string; as: "image" | "text" };
export type InputRefs = Record<string, InputRef | undefined>;
type FetchedInput<R> = R extends { as: "image" } ? SafeImage : R extends InputRef ? string : undefined;
/** What a handler's `inputs` asked for, fetched: a picture for `image`, a string for `text`. */
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
  /** The article in a page: plain text, one paragraph on each line. Throws `page_without_text` rather than return an empty text. */
  article(html: string): Promise<{ title: string | null; text: string }>;
}

export interface Texts {
  /**
   * The text in parts of at most `size` characters, each of whole sentences. Unlike `chunkText`, it does not hold up other jobs,
   * however long the text is.
   */
  chunks(text: string, size: number): Promise<string[]>;
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

export type Context<R extends InputRefs = Record<string, never>> = {
  model: Model;
  pages: Pages;
  texts: Texts;
  rest: Rest;
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
