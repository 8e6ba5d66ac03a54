// One answer through the port: first the model's thinking where it is wanted, then what it says. Both in one turn, so that a
// thought is never cut off from its answer; waiting for the turn is scheduler.ts's business.
import { KamadoError } from "../../errors.ts";
import type { Backend, Emit, Generation, Outcome, Prepared, Token } from "../generation/backend.ts";
import { JsonEnd, StopScanner } from "../generation/stopping-criteria.ts";

/** What goes to the client: text, of the model's thinking or of its answer, and the tokens it was made from. */
export type Piece = { text: string; tokens: Token[]; thought?: true };
/** `completionTokens` counts the thought too. */
export type Answered = Outcome & { reasoningTokens: number };

export type Phases = {
  generation: Generation;
  /** The answer straight away. */
  answer: Prepared;
  /** What comes before it, when something is to be thought. */
  thinking: Prepared | undefined;
};

type Hear = (piece: Piece) => void;

/** Throws what is wrong with the request: with the answer too, before anything is thought. */
export async function preparePhases(
  backend: Backend,
  generation: Generation,
  budget: number,
): Promise<Phases> {
  const answer = await backend.prepare(generation);
  const { prompt, maxTokens } = generation;
  const { thinks, contextSize } = backend.info;
  const { promptTokens } = answer;
  const tokens = thinks ? thinkingBudget({ wanted: budget, promptTokens, contextSize, maxTokens }) : 0;
  if (tokens === 0 || "text" in prompt) return { generation, answer, thinking: undefined };
  const thinking = await backend.prepare({
    ...generation,
    prompt: { ...prompt, thinking: "open" },
    maxTokens: tokens,
    stop: [],
    schema: undefined,
    topLogprobs: undefined,
  });
  return { generation, answer, thinking };
}

export async function runPhases(
  backend: Backend,
  { generation, answer, thinking }: Phases,
  hear: Hear,
  signal: AbortSignal,
): Promise<Answered> {
  if (thinking === undefined) return { ...(await say(answer, generation, hear, signal)), reasoningTokens: 0 };
  let thought = "";
  const before = await thinking.run((token) => {
    thought += token.text;
    hear({ text: token.text, tokens: [token], thought: true });
    return true;
  }, signal);
  const prepared = (await afterThought(backend, generation, thought)) ?? answer;
  const said = await say(prepared, generation, hear, signal);
  const { promptTokens, cachedTokens, completionTokens: reasoningTokens } = before;
  const completionTokens = reasoningTokens + said.completionTokens;
  return { finish: said.finish, promptTokens, cachedTokens, completionTokens, reasoningTokens };
}

/** Undefined when the thought, read again, has become too long for the context: the answer is worth more. */
async function afterThought(backend: Backend, generation: Generation, thought: string) {
  const { prompt } = generation;
  if ("text" in prompt) return undefined;
  try {
    return await backend.prepare({ ...generation, prompt: { ...prompt, thinking: { thought } } });
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "context_length_exceeded") return undefined;
    throw thrown;
  }
}

async function say(prepared: Prepared, generation: Generation, hear: Hear, signal: AbortSignal) {
  const scanner = new StopScanner(generation.stop);
  const end = generation.schema !== undefined ? new JsonEnd() : undefined;
  const emit: Emit = (token) => {
    const text = scanner.push(end ? end.push(token.text) : token.text);
    hear({ text, tokens: [token] });
    return !scanner.stopped && !end?.closed;
  };
  const outcome = await prepared.run(emit, signal);
  const rest = scanner.flush();
  if (rest !== "") hear({ text: rest, tokens: [] });
  return outcome;
}

// How many tokens the model may think before it answers. Pure.
// The marks around a thought, and what may come out longer when it is read again as part of the prompt.
const MARGIN = 32;
// Without max_tokens the answer may fill the context; this share of the room is kept for it.
const ANSWER_SHARE = 0.5;

/**
 * Prompt, thought and answer share one context. What is missing is taken from the thought and never from the answer; 0 when
 * nothing is left for it.
 */
export function thinkingBudget({
  wanted,
  promptTokens,
  contextSize,
  maxTokens,
}: {
  wanted: number;
  promptTokens: number;
  contextSize: number;
  maxTokens: number | undefined;
}): number {
  const room = contextSize - promptTokens - MARGIN;
  const answer = maxTokens ?? Math.ceil(room * ANSWER_SHARE);
  return Math.max(0, Math.min(wanted, room - answer));
}
