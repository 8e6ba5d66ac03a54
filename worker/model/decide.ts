// A choice among options, with the probability that the model itself gives to each. Usually one short request.
import { KamadoError } from "../errors.ts";
import type { Choice, Question } from "../job/handler.ts";
import type { ReadToken } from "./engine-answer.ts";
import type { Chat, ChatRequest } from "./engine-client.ts";
import { isClear, MIN_COVERED, type Reading, readProbabilities } from "./probabilities.ts";
import { messagesOf } from "./prompt.ts";

export type Decide<T extends string> = Question & { options: readonly T[]; threshold?: number };

const THRESHOLD = 0.6;
const MAX_TOKENS = 32;
/** Tokens that the rest of a character may take. Text has no halves of characters, and some engines report none. */
const REST_OF_CHARACTER = 3;
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

/**
 * As many tokens as it can take to tell the options apart: a space, what two of them have in common, and what comes after it.
 * A token has one byte at least.
 */
function tokensFor(options: readonly string[]): number {
  const inOrder = options.map((option) => Buffer.from(option)).sort(Buffer.compare);
  const common = inOrder.slice(1).map((bytes, at) => commonBytes(bytes, inOrder[at]!));
  const rest = options.every(isAscii) ? 0 : REST_OF_CHARACTER;
  return Math.min(MAX_TOKENS, 2 + Math.max(0, ...common) + rest);
}

const isAscii = (text: string) => Buffer.byteLength(text) === text.length;

function commonBytes(a: Buffer, b: Buffer): number {
  const differs = a.findIndex((byte, at) => byte !== b[at]);
  return differs === -1 ? a.length : differs;
}

/** Such options can mostly be told apart by the first token: one forward pass, nothing is generated. */
const beginDifferently = (options: readonly string[]) =>
  new Set(options.map((option) => option.charAt(0).toLowerCase())).size === options.length;

type Request = Pick<ChatRequest, "messages" | "max_tokens">;

/**
 * Null when the engine gives no probabilities, or gives them for the first token only and that one does not decide: the model
 * begins with a space or a quote, several options begin with the same token, or the token is half a character.
 */
async function fromLogprobs<T extends string>(
  chat: Chat,
  messages: Request["messages"],
  options: readonly T[],
): Promise<Reading<T> | null> {
  const longest = { messages, max_tokens: tokensFor(options) };
  const whole = beginDifferently(options) ? undefined : await readTokens(chat, longest, options);
  if (whole !== undefined && whole !== "refused") return whole;
  const first = await readTokens(chat, { messages, max_tokens: 1 }, options);
  if (first === "refused") return null;
  if (first !== null && isClear(first)) return first;
  // An engine that reports only whole characters has nothing to report of a first token that is half of one.
  if (first === null && options.every(isAscii)) return null;
  const more = whole ?? (await readTokens(chat, longest, options));
  return more === "refused" ? null : more;
}

/** Null for an engine that ignores the wish for probabilities. */
async function readTokens<T extends string>(
  chat: Chat,
  request: Request,
  options: readonly T[],
): Promise<Reading<T> | null | "refused"> {
  try {
    const answer = await chat({ ...request, temperature: 0, logprobs: true, top_logprobs: TOP });
    return answer.tokens && readProbabilities(answer.tokens, options, { ended: !answer.cutOff });
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "engine_rejected" && /logprobs/.test(thrown.message))
      return "refused";
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
  const covered = meant.length / SAMPLES;
  return { probabilities: probabilities as Record<T, number>, covered, shared: 0 };
}

/** An answer that is cut off may end with half a character, which says nothing. */
const certain = (text: string): ReadToken => ({ token: text.replace(/(?<!\ufffd)\ufffd+$/, ""), logprob: 0 });
