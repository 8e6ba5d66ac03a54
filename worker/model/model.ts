// The `Model` a handler is given: one a job, so that its meter tells the truth and its signal cuts all of its work.
import type { Choice, Model } from "../job/handler.ts";
import { type AnyAsk, ask } from "./ask.ts";
import { type ChatOptions, createChat } from "./chat.ts";
import { type Decide, decide } from "./decide.ts";

export type ModelOptions = ChatOptions;

export function createModel(options: ModelOptions): Model {
  const chat = createChat(options);
  return {
    // Which of ask's forms it is shows in the question; the caller's form says what comes back.
    ask: async (question: AnyAsk) => (await ask(chat, options.meter, question)) as never,
    decide: <const T extends string>(question: Decide<T>): Promise<Choice<T>> => decide(chat, question),
  };
}
