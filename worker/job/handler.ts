// What a handler is and what it is given. Handlers import only zod and this folder; everything behind these
// interfaces (the engine, S3, the network) belongs to the worker.
import type { z } from "zod";
import { KamadoError } from "../errors.ts";

/** A picture that has been decoded in bounds, turned upright, made small and re-encoded. Safe to show an engine. */
export type SafeImage = {
  /** `data:image/png;base64,…` or `data:image/jpeg;base64,…` */
  dataUri: string;
  /** pixels, after shrinking */
  width: number;
  height: number;
  /** of the re-encoded bytes, hex; the same picture has the same hash */
  sha256: string;
};

/** An input that stands somewhere else: `s3://bucket/key`, `https://…` or a `data:` URI. */
export type InputRef = { from: string; as: "image" | "text" };
export type InputRefs = Record<string, InputRef | undefined>;
type FetchedInput<R> = R extends { as: "image" } ? SafeImage : R extends InputRef ? string : undefined;
/** What a handler's `inputs` asked for, fetched: a picture for `image`, a string for `text`. */
export type Fetched<R extends InputRefs> = { [K in keyof R]: FetchedInput<R[K]> };

export type Question = {
  /** What the model must do: the system message. Ours, never a sender's. */
  instructions: string;
  /** What comes from outside: the user message, put between `<input>` and `</input>`. */
  content: string;
  image?: SafeImage | undefined;
};

export type Ask = Question & { maxTokens?: number; temperature?: number };

export type Choice<T extends string> = {
  /** The most probable option, or `uncertain` when its probability is below the threshold. */
  choice: T | "uncertain";
  /** The most probable option, however probable. */
  best: T;
  /** Each option's probability among the options, 0..1; they add up to 1. */
  probabilities: Record<T, number>;
};

export interface Model {
  /** The answer as text. */
  ask(question: Ask): Promise<string>;
  /**
   * The answer as a value that fits `schema`: constrained by the engine where it can be, validated always,
   * repaired once. Throws `answer_invalid`, which carries the raw text.
   */
  ask<S extends z.ZodType>(question: Ask & { schema: S }): Promise<z.output<S>>;
  /** The answer as a value that fits a JSON schema that came from outside. */
  ask(question: Ask & { jsonSchema: Record<string, unknown> }): Promise<unknown>;
  /** One of `options` with its probability, read from the model's own distribution. `threshold` [0.6] */
  decide<const T extends string>(
    question: Question & { options: readonly T[]; threshold?: number },
  ): Promise<Choice<T>>;
}

export interface Pages {
  /** The article in a page: plain text with paragraphs on lines of their own. */
  article(html: string): Promise<{ title: string | null; text: string }>;
}

export interface Rest {
  /** GET JSON through the safe client. */
  get(url: string): Promise<unknown>;
}

export type Context<R extends InputRefs = Record<string, never>> = {
  model: Model;
  pages: Pages;
  rest: Rest;
  /** What `inputs` asked for, fetched and checked. */
  inputs: Fetched<R>;
  /** 0..1, and a word about what is happening; shown live, never stored. */
  progress(done: number, what?: string): void;
  /** Fires when the lease is lost, the time is up, the job is canceled or the worker stops. */
  signal: AbortSignal;
};

/** Ends the job for good, with a coded error for its sender: what it was given cannot be worked with. */
export function refuse(code: "invalid_input" | "input_too_large", message: string): never {
  throw new KamadoError(code, message);
}

/** A REST call that carries out a result. `base` is the `rest` destination of the job. */
export type RestRequest = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  body?: unknown;
};

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
  /** Which parts of the input stand elsewhere; they are fetched before `run`. */
  inputs?(input: z.output<I>): R;
  run(input: z.output<I>, context: Context<R>): Promise<z.input<O>>;
  /** The REST call that carries out an output at `base`; `null` when there is nothing to do. */
  request?(output: z.output<O>, base: string, input: z.output<I>): RestRequest | null;
};

/** Declares a kind. The types of `run` and `request` follow from the schemas. */
export function defineHandler<
  I extends z.ZodType,
  O extends z.ZodType,
  R extends InputRefs = Record<string, never>,
>(handler: Handler<I, O, R>): Handler<I, O, R> {
  return handler;
}
