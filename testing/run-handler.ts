// Runs a handler as the worker does, with a model that answers from a script: no engine, no queue, no network.
import type { z } from "zod";
import type {
  ApiRequest,
  Chunk,
  Context,
  Handler,
  InputRefs,
  Model,
  Page,
  Pages,
  Question,
  RestRequest,
  SearchHit,
  SearchOptions,
  TodoChange,
} from "../worker/job/handler.ts";
import { createPages, pageOf } from "../worker/pages/article.ts";
import { createTexts } from "../worker/pages/chunks.ts";
import type { KnownPage } from "../worker/pages/document.ts";

/** A question to the model, as the handler asked it. */
export type Asked = Question & {
  maxTokens?: number;
  onCutOff?(): void;
  options?: readonly string[];
  threshold?: number;
  jsonSchema?: Record<string, unknown>;
};

export type Script = {
  /** The answer to a question, or a promise of it; with a schema it must fit. To fail as a model does, throw. */
  ask?(question: Asked): unknown;
  /** The options' probabilities; an option that is left out has 0. */
  decide?(question: Asked): Record<string, number>;
  /** What the model calls itself. ["script"] */
  model?: string;
  /** The engine's whole answer to a request of OpenAI's API. */
  complete?(request: ApiRequest): Record<string, unknown>;
  /** What a GET of `context.rest` gives, and its todos. */
  rest?(url: string): unknown;
  /**
   * What the handler's `inputs` ask for: a picture for each image, a string for each text, and for each page what is known of it, its plain
   * text, or the error for one that may fail.
   */
  inputs?: Record<string, unknown>;
  /** The article in a page; by default the worker's own reader finds it. What is left out is `null`, and `markdown` the text. */
  article?(html: string): KnownPage;
  /** The parts of a page; by default the worker's own. */
  chunks?(page: Pick<Page, "title" | "markdown">): Chunk[];
  /** The page at an address. What is left out is `null`, and `markdown` the text. To fail as an address does, throw. */
  read?(url: string): KnownPage | Promise<KnownPage>;
  /** What a search of the web finds. To fail as a search service does, throw. */
  search?(query: string, options?: SearchOptions): SearchHit[] | Promise<SearchHit[]>;
  /** What an earlier run of the job has put, by name; what this one puts is added. */
  checkpoints?: Map<string, unknown>;
  /** What the job may spend on the model. [no limit] */
  budget?: Partial<Context["budget"]>;
  /** How long the job may still run, in ms. [no limit] */
  timeLeftMs?(): number;
  /** The seconds that so much work takes the engine. [nothing is measured yet] */
  estimate?: Context["estimate"];
  /** As when the job is canceled or its time is over. */
  signal?: AbortSignal;
};

export type Ran<O> = {
  /** As the handler's schema reads it. */
  output: O;
  /** Every question, in the order in which they were asked. */
  asked: Asked[];
  /** What the handler reported, 0 to 1. */
  progress: number[];
  /** What it said with that. */
  said: string[];
  /** The call that a `rest` destination at `base` gets; `null` when there is nothing to do. */
  request(base: string): RestRequest | null;
  /** What becomes of the todo list that a `rest` destination is; `null` when there is nothing to do. */
  todo(): TodoChange | null;
};

/**
 * Throws what the handler throws, and where input or output do not fit the handler's own schemas. `input` is what a sender sends: fields
 * with a default may be missing.
 */
export async function runHandler<I extends z.ZodType, O extends z.ZodType, R extends InputRefs>(
  handler: Handler<I, O, R>,
  input: z.input<I>,
  script: Script = {},
): Promise<Ran<z.output<O>>> {
  const { rest = unexpected("rest"), inputs = {}, search = unexpected("search") } = script;
  const checkpoints = script.checkpoints ?? new Map<string, unknown>();
  const { signal = new AbortController().signal } = script;
  const { model, asked } = scriptedModel(script);
  const [progress, said]: [number[], string[]] = [[], []];
  const read = handler.input.parse(input);
  const wanted = handler.inputs?.(read) ?? {};
  checkInputs(wanted, inputs);
  const context = {
    model,
    pages: pagesOf(script),
    texts,
    search: {
      provider: script.search ? "script" : null,
      web: async (query: string, options?: SearchOptions) => search(query, options),
    },
    checkpoints: {
      get: async (name: string) => checkpoints.get(name),
      // As they come back from the bucket.
      put: async (name: string, value: unknown) =>
        void checkpoints.set(name, JSON.parse(JSON.stringify(value))),
    },
    estimate: script.estimate ?? (() => null),
    budget: { requests: Number.POSITIVE_INFINITY, tokens: Number.POSITIVE_INFINITY, ...script.budget },
    used: () => ({ promptTokens: 0, cachedTokens: 0, completionTokens: 0 }),
    timeLeftMs: script.timeLeftMs ?? (() => Number.POSITIVE_INFINITY),
    rest: { get: async (url: string) => rest(url), todos: async (url: string) => rest(url) },
    inputs: withPages(wanted, inputs),
    progress(done: number, what?: string) {
      progress.push(done);
      if (what !== undefined) said.push(what);
    },
    signal,
  } as unknown as Context<R>;
  const output = handler.output.parse(await handler.run(read, context)) as z.output<O>;
  const request = (base: string) => handler.request?.(output, base, read) ?? null;
  const todo = () => handler.todo?.(output, read) ?? null;
  return { output, asked, progress, said, request, todo };
}

/** Shared by all runs, so that their threads start once. */
const [pages, texts] = [createPages(), createTexts()];

function pagesOf({ article, chunks, read = unexpected("read") }: Script): Pages {
  return {
    ...pages,
    ...(article && { article: async (html: string) => pageOf(article(html)) }),
    ...(chunks && { chunks: async (page) => chunks(page) }),
    read: async (url) => pageOf({ url, ...(await read(url)) }),
  };
}

function withPages(wanted: InputRefs, given: Record<string, unknown>): Record<string, unknown> {
  const pages = Object.entries(wanted).flatMap(([name, ref]) => {
    const page = given[name];
    if (ref?.as !== "page" || page instanceof Error) return [];
    return [
      [name, typeof page === "string" ? pageOf({ text: page, format: "text" }) : pageOf(page as KnownPage)],
    ];
  });
  return { ...given, ...Object.fromEntries(pages) };
}

const unexpected = (name: string) => () => {
  throw new Error(
    `The handler uses ${name}, and this test has no answer for it: give \`${name}\` in the script.`,
  );
};

function scriptedModel({
  ask = unexpected("ask"),
  decide = unexpected("decide"),
  complete = unexpected("complete"),
  model: name = "script",
}: Script) {
  const asked: Asked[] = [];
  const model: Model = {
    name: async () => name,
    complete: async (request) => complete(request),
    // biome-ignore lint/suspicious/noExplicitAny: one implementation for all of ask's forms
    async ask(question: any): Promise<any> {
      asked.push(question);
      const answer = await ask(question);
      return question.schema ? question.schema.parse(answer) : answer;
    },
    // biome-ignore lint/suspicious/noExplicitAny: probabilities are keyed by whatever the options are
    async decide(question): Promise<any> {
      asked.push(question);
      const given = decide(question);
      const probabilities = Object.fromEntries(
        question.options.map((option) => [option, given[option] ?? 0]),
      );
      const best = question.options.reduce((top, one) =>
        probabilities[one]! > probabilities[top]! ? one : top,
      );
      const sure = probabilities[best]! >= (question.threshold ?? 0.6);
      const all = Object.values(probabilities);
      const prefersNone = all.length > 1 && new Set(all).size === 1;
      return { choice: sure ? best : "uncertain", best: prefersNone ? null : best, probabilities };
    },
  };
  return { model, asked };
}

/** The worker fetches what a handler asks for before it runs it, so a handler never meets an input that is missing. */
function checkInputs(wanted: InputRefs, given: Record<string, unknown>): void {
  for (const [name, ref] of Object.entries(wanted)) {
    if (ref === undefined || given[name] !== undefined) continue;
    const example = { image: "samplePicture()", text: '"a text"', page: '{ text: "a text" }' }[ref.as];
    throw new Error(
      `The handler asks for the ${ref.as} at ${ref.from.slice(0, 100)}: give it as inputs: { ${name}: ${example} }.`,
    );
  }
}
