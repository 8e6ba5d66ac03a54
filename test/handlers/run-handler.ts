// Runs a handler as the worker does, with a model that answers from a script. Not a test.
import type { z } from "zod";
import type { Context, Handler, InputRefs, Model, Question } from "../../worker/job/handler.ts";
import { chunkText } from "../../worker/job/text.ts";

type Asked = Question & {
  maxTokens?: number;
  onCutOff?(): void;
  options?: readonly string[];
  threshold?: number;
};
export type Script = {
  /** The answer to a question; with a schema it must fit. */
  ask?(question: Asked): unknown;
  /** The options' probabilities. */
  decide?(question: Asked): Record<string, number>;
  rest?(url: string): unknown;
  inputs?: Record<string, unknown>;
};

const unasked = () => {
  throw new Error("this test expects no question");
};

/** The output as its schema reads it, what the model was asked, and the progress that was reported. */
export async function run<I extends z.ZodType, O extends z.ZodType, R extends InputRefs>(
  handler: Handler<I, O, R>,
  input: z.input<I>,
  { ask = unasked, decide = unasked, rest = unasked, inputs = {} }: Script = {},
) {
  const asked: Asked[] = [];
  const progress: number[] = [];
  const model: Model = {
    // biome-ignore lint/suspicious/noExplicitAny: one implementation for all of ask's forms
    async ask(question: any): Promise<any> {
      asked.push(question);
      const answer = ask(question);
      return question.schema ? question.schema.parse(answer) : answer;
    },
    // biome-ignore lint/suspicious/noExplicitAny: probabilities are keyed by whatever the options are
    async decide(question): Promise<any> {
      asked.push(question);
      const probabilities = decide(question);
      const best = question.options.reduce((top, one) =>
        (probabilities[one] ?? 0) > (probabilities[top] ?? 0) ? one : top,
      );
      const sure = (probabilities[best] ?? 0) >= (question.threshold ?? 0.6);
      const all = Object.values(probabilities);
      const prefersNone = all.length > 1 && new Set(all).size === 1;
      return { choice: sure ? best : "uncertain", best: prefersNone ? null : best, probabilities };
    },
  };
  const context = {
    model,
    pages: { article: async (html: string) => ({ title: null, text: html.replaceAll(/<[^>]*>/g, "") }) },
    texts: { chunks: async (text: string, size: number) => chunkText(text, size) },
    rest: { get: async (url: string) => rest(url) },
    inputs,
    progress: (done: number) => void progress.push(done),
    signal: new AbortController().signal,
  } as unknown as Context<R>;
  const output = handler.output.parse(await handler.run(handler.input.parse(input), context)) as z.output<O>;
  return { output, asked, progress };
}
