// A choice among options, with the probability that the model itself gives to each. The request names the options, and usually it is
// one short request. A model that begins with something else is asked again, and the engine lets it say nothing but an option.
import { KamadoError } from "../errors.ts";
import type { Choice, Question } from "../job/handler.ts";
import type { ChatAnswer, ReadToken } from "./engine-answer.ts";
import type { Chat, ChatRequest } from "./engine-client.ts";
import { bytesOf, isClear, MIN_COVERED, type Reading, readProbabilities } from "./probabilities.ts";
import { messagesOf, withOptions } from "./prompt.ts";

export type Decide<T extends string> = Question & { options: readonly T[]; threshold?: number };

const THRESHOLD = 0.6;
const MAX_TOKENS = 32;
/** Tokens that the rest of a character may take. Text has no halves of characters, and some engines report none. */
const REST_OF_CHARACTER = 3;
const TOP = 20;
const SAMPLES = 5;
/** With less of the probability on the options, or fewer of the sampled answers, the model would rather say something else. */
const MIN_MEANT = 0.5;

export async function decide<T extends string>(chat: Chat, question: Decide<T>): Promise<Choice<T>> {
  const { options, threshold = THRESHOLD, instructions } = question;
  if (options.length === 0 || new Set(options.map((one) => one.trim())).size !== options.length)
    throw new TypeError("decide: give at least one option; options must differ in more than white space.");
  if (options.some((option) => option.trim() === ""))
    throw new TypeError("decide: an option must not be empty.");
  const messages = messagesOf({ ...question, instructions: withOptions(instructions, options) });
  const exact = await fromLogprobs(chat, messages, options);
  const free = exact ?? (await sample(chat, { messages, max_tokens: tokensFor(options) }, options));
  if (free.covered >= MIN_MEANT) return choose(free, options, threshold);
  const held = await constrained(chat, messages, options, exact !== null);
  return choose(held ?? free, options, threshold);
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

type Request = Pick<ChatRequest, "messages" | "max_tokens" | "response_format">;

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

/** Null for an engine that ignores the wish for probabilities, or leaves out some of the answer's tokens. */
async function readTokens<T extends string>(
  chat: Chat,
  request: Request,
  options: readonly T[],
): Promise<Reading<T> | null | "refused"> {
  const answer = await withLogprobs(chat, request);
  if (answer === "refused") return "refused";
  if (!answer.tokens || lacksTokens(answer, options)) return null;
  return readProbabilities(answer.tokens, options, { ended: !answer.cutOff });
}

async function withLogprobs(chat: Chat, request: Request): Promise<ChatAnswer | "refused"> {
  try {
    return await chat({ ...request, temperature: 0, logprobs: true, top_logprobs: TOP });
  } catch (thrown) {
    if (refusesLogprobs(thrown)) return "refused";
    throw thrown;
  }
}

const refusesLogprobs = (thrown: unknown) =>
  thrown instanceof KamadoError && thrown.code === "engine_rejected" && /logprobs/.test(thrown.message);

/**
 * llama-server reports no token that is half a character, and the probability of the other half alone would look like certainty.
 * The end of an answer may be a token that is not reported.
 */
const lacksTokens = ({ tokens, completionTokens, cutOff }: ChatAnswer, options: readonly string[]) =>
  !options.every(isAscii) && completionTokens - tokens!.length > (cutOff ? 0 : 1);

// An object, because some servers refuse a schema of anything else.
const HEAD = /^\s*\{\s*"answer"\s*:\s*"/;
/** How many tokens the beginning of the object may have: a vocabulary may have a token for each letter. */
const HEAD_TOKENS = 16;

const heldTo = (options: readonly string[]) => ({
  response_format: {
    type: "json_schema",
    json_schema: {
      name: "answer",
      strict: true,
      schema: {
        type: "object",
        properties: { answer: { type: "string", enum: options } },
        required: ["answer"],
        additionalProperties: false,
      },
    },
  },
});

/**
 * Asks again and lets the engine allow nothing but the options. Null where it cannot. Where the likeliest tokens show too little of
 * the options even then, several answers are counted.
 */
async function constrained<T extends string>(
  chat: Chat,
  messages: Request["messages"],
  options: readonly T[],
  isExact: boolean,
): Promise<Reading<T> | null> {
  const request = { messages, max_tokens: HEAD_TOKENS + tokensFor(options), ...heldTo(options) };
  try {
    const reading = isExact ? await fromConstrained(chat, request, options) : null;
    return reading ?? (await sample(chat, request, options));
  } catch (thrown) {
    // capabilities.ts has tried the lesser forms by now.
    if (thrown instanceof KamadoError && thrown.code === "engine_rejected") return null;
    throw thrown;
  }
}

async function fromConstrained<T extends string>(chat: Chat, request: Request, options: readonly T[]) {
  const answer = await withLogprobs(chat, request);
  if (answer === "refused" || !answer.tokens || lacksTokens(answer, options)) return null;
  const tokens = afterHead(answer.tokens);
  const reading = tokens && readProbabilities(tokens, options, { ended: !answer.cutOff });
  return reading && reading.covered >= MIN_COVERED ? reading : null;
}

/** The tokens of the value. What one of them has of the head is cut off. Null when the answer has no such beginning. */
function afterHead(tokens: readonly ReadToken[]): ReadToken[] | null {
  let text = "";
  for (const [at, token] of tokens.entries()) {
    text += bytesOf(token);
    const head = HEAD.exec(text)?.[0];
    if (head === undefined) continue;
    const begun = [...Buffer.from(text.slice(head.length), "latin1")];
    const rest = tokens.slice(at + 1);
    return begun.length === 0 ? rest : [{ token: "", bytes: begun, logprob: 0 }, ...rest];
  }
  return null;
}

function choose<T extends string>(reading: Reading<T>, options: readonly T[], threshold: number): Choice<T> {
  const { probabilities, covered } = reading;
  const top = options.reduce((top, one) => (probabilities[one] > probabilities[top] ? one : top));
  const isEven = options.length > 1 && options.every((one) => probabilities[one] === probabilities[top]);
  const best = covered >= MIN_COVERED && !isEven ? top : null;
  const isSure = best !== null && probabilities[best] >= threshold;
  return { choice: isSure ? best : "uncertain", best, probabilities };
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
const certain = (text: string): ReadToken => ({
  token: text.replace(HEAD, "").replace(/(?<!\ufffd)\ufffd+$/, ""),
  logprob: 0,
});
