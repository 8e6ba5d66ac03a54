// A choice among options, with the probability that the model itself gives to each. Usually one short request.
import { KamadoError } from "../errors.ts";
import type { Choice, Question } from "../job/handler.ts";
import type { ReadToken } from "./engine-answer.ts";
import type { Chat, ChatRequest } from "./engine-client.ts";
import { MIN_COVERED, type Reading, readProbabilities } from "./probabilities.ts";
import { messagesOf } from "./prompt.ts";

export type Decide<T extends string> = Question & { options: readonly T[]; threshold?: number };

const THRESHOLD = 0.6;
const MAX_TOKENS = 8;
const TOP = 20;
const SAMPLES = 5;

export async function decide<T extends string>(chat: Chat, question: Decide<T>): Promise<Choice<T>> {
  const { options, threshold = THRESHOLD } = question;
  if (options.length === 0 || new Set(options).size !== options.length || options.includes("" as T))
    throw new TypeError("decide: give at least one option; options must be distinct and not empty.");
  const messages = messagesOf(question);
  const reading =
    (await fromLogprobs(chat, messages, options)) ??
    (await sample(chat, { messages, max_tokens: tokensFor(options) }, options));
  return choose(reading, options, threshold);
}

/** One token more than the longest option can take: the answer may begin with a space. */
const tokensFor = (options: readonly string[]) =>
  Math.min(MAX_TOKENS, 1 + Math.max(...options.map((option) => Buffer.byteLength(option))));

/** Options with different first letters need only the first token: one forward pass, and nothing is generated. */
const firstTokenDecides = (options: readonly string[]) =>
  new Set(options.map((option) => option.charAt(0).toLowerCase())).size === options.length;

type Request = Pick<ChatRequest, "messages" | "max_tokens">;

/** Null when the engine gives no probabilities. */
async function fromLogprobs<T extends string>(
  chat: Chat,
  messages: Request["messages"],
  options: readonly T[],
): Promise<Reading<T> | null> {
  const longest = tokensFor(options);
  const first = await look(chat, { messages, max_tokens: firstTokenDecides(options) ? 1 : longest }, options);
  // The model may begin with a space or a quotation mark; then its choice comes after it.
  if (!first || first.covered >= MIN_COVERED || !firstTokenDecides(options)) return first;
  return look(chat, { messages, max_tokens: longest }, options);
}

async function look<T extends string>(
  chat: Chat,
  request: Request,
  options: readonly T[],
): Promise<Reading<T> | null> {
  try {
    const answer = await chat({ ...request, temperature: 0, logprobs: true, top_logprobs: TOP });
    return answer.tokens && readProbabilities(answer.tokens, options, { ended: !answer.cutOff });
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "engine_rejected" && /logprobs/.test(thrown.message))
      return null;
    throw thrown;
  }
}

function choose<T extends string>(reading: Reading<T>, options: readonly T[], threshold: number): Choice<T> {
  const { probabilities, covered } = reading;
  const best = options.reduce((top, one) => (probabilities[one] > probabilities[top] ? one : top));
  const sure = covered >= MIN_COVERED && probabilities[best] >= threshold;
  return { choice: sure ? best : "uncertain", best, probabilities };
}

/**
 * For engines without probabilities: counts several answers at temperature 1. All options together get half an answer in
 * advance, because a few answers that agree do not make a certainty.
 */
async function sample<T extends string>(
  chat: Chat,
  request: Request,
  options: readonly T[],
): Promise<Reading<T>> {
  const answers = await Promise.all(
    Array.from({ length: SAMPLES }, () => chat({ ...request, temperature: 1 })),
  );
  const readings = answers.map(({ text, cutOff }) =>
    readProbabilities([certain(text)], options, { ended: !cutOff }),
  );
  const meant = readings.filter(({ covered }) => covered >= MIN_COVERED);
  const share = (option: T) => {
    const counted = meant.reduce((sum, { probabilities }) => sum + probabilities[option], 0);
    return (counted + 0.5 / options.length) / (meant.length + 0.5);
  };
  const probabilities = Object.fromEntries(options.map((option) => [option, share(option)]));
  return { probabilities: probabilities as Record<T, number>, covered: meant.length / SAMPLES };
}

const certain = (text: string): ReadToken => ({ token: text, logprob: 0 });
