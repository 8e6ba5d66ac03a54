// Makes one answer with a backend: first the model's thinking, where it is wanted, then the text. Both run in the same slot, so
// that an answer never waits in the queue behind its own thought. It owns how long the thought may be and where the text ends.
// Waiting for the slot is left to scheduler.ts, the tokens to the backend.
import { KamadoError } from "../../errors.ts";
import { type Backend, checkLength, type Generation, type Prepared } from "../generation/backend.ts";
import { RepetitionWatch } from "../generation/repetition.ts";
import { JsonEnd, StopScanner } from "../generation/stopping-criteria.ts";
import { runCalls, withTools } from "./generate-calls.ts";
import type { Ended, OnPiece } from "./piece.ts";

/** `completionTokens` counts the thought too. */
export type Answered = Ended & { reasoningTokens: number };

export type Phases = {
  /** As the client asked for it. */
  asked: Generation;
  generation: Generation;
  /** The answer without a thought before it. */
  answer: Prepared;
  /** Undefined when the model is not to think. */
  thinking: Prepared | undefined;
};

/** Throws what is wrong with the request. The answer is checked too, before the model begins to think. */
export async function preparePhases(
  backend: Backend,
  asked: Generation,
  thinkingBudget: number,
): Promise<Phases> {
  const generation = withTools(withEndMarks(asked, backend.info), backend.calls);
  checkLength(generation.prompt, backend.info);
  if (asked.schema !== undefined && asked.tools?.isForced === false)
    await backend.prepare({ ...generation, schema: asked.schema, shown: undefined });
  const answer = await backend.prepare(generation);
  const { prompt, maxTokens } = generation;
  const { thinks, contextSize } = backend.info;
  const { promptTokens } = answer;
  const tokens = thinks ? fitThinking({ wanted: thinkingBudget, promptTokens, contextSize, maxTokens }) : 0;
  if (tokens === 0 || "text" in prompt) return { asked, generation, answer, thinking: undefined };
  const { begun: _, ...beforeAnswer } = prompt;
  const thinking = await backend.prepare({
    ...generation,
    prompt: { ...beforeAnswer, thinking: "open" },
    maxTokens: tokens,
    stop: [],
    schema: undefined,
    calls: undefined,
    shown: undefined,
    topLogprobs: undefined,
  });
  return { asked, generation, answer, thinking };
}

/**
 * To a model that was not made for its chat template the marks of it are ordinary text, and it goes on behind them. The end of an answer
 * with a schema is the end of its JSON.
 */
function withEndMarks(asked: Generation, { template }: Backend["info"]): Generation {
  const { endMarks = [] } = template ?? {};
  if (endMarks.length === 0 || "text" in asked.prompt || asked.schema !== undefined) return asked;
  return { ...asked, stop: [...asked.stop, ...endMarks] };
}

/** For the marks around a thought, and because its text may have more tokens when it is read as part of the prompt. */
const THOUGHT_MARGIN = 32;
/** Without max_tokens the answer may fill the context: this share of the room is kept for it. */
const ANSWER_SHARE = 0.5;

/**
 * How many tokens the model may think. Prompt, thought and answer share one context: when it is too small for all three, the
 * thought gets less and the answer does not.
 */
export function fitThinking({
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
  const room = contextSize - promptTokens - THOUGHT_MARGIN;
  const answer = maxTokens ?? Math.ceil(room * ANSWER_SHARE);
  return Math.max(0, Math.min(wanted, room - answer));
}

export async function runPhases(
  backend: Backend,
  { asked, generation, answer, thinking }: Phases,
  onPiece: OnPiece,
  signal: AbortSignal,
): Promise<Answered> {
  const run = (prepared: Prepared, generation: Generation) => {
    const runText = (prepared: Prepared, generation: Generation) =>
      runAnswer(prepared, generation, onPiece, signal);
    if (generation.tools === undefined) return runText(prepared, generation);
    const { schema } = asked;
    return runCalls({ backend, generation, schema, first: prepared, runText }, onPiece, signal);
  };
  if (thinking === undefined) return { ...(await run(answer, generation)), reasoningTokens: 0 };
  let thought = "";
  const watch = watchOf(generation);
  // A thought that repeats itself comes to no end by itself, and the answer can still be good.
  const before = await thinking.run((token) => {
    thought += token.text;
    onPiece({ text: token.text, tokens: [token], thought: true });
    return !watch?.push(token.text);
  }, signal);
  const after = (await prepareAfter(thought, backend, generation)) ?? { prepared: answer, generation };
  const outcome = await run(after.prepared, after.generation);
  const { promptTokens, cachedTokens, completionTokens: reasoningTokens } = before;
  const completionTokens = reasoningTokens + outcome.completionTokens;
  return { finish: outcome.finish, promptTokens, cachedTokens, completionTokens, reasoningTokens };
}

/** The answer after a thought. Undefined when both do not fit into the context: then the model answers without the thought. */
async function prepareAfter(thought: string, backend: Backend, generation: Generation) {
  const { prompt } = generation;
  if ("text" in prompt) return undefined;
  const after = { ...generation, prompt: { ...prompt, thinking: { thought } } };
  try {
    return { prepared: await backend.prepare(after), generation: after };
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "context_length_exceeded") return undefined;
    throw thrown;
  }
}

const watchOf = ({ repetition }: Generation) =>
  repetition === undefined || repetition === "never" ? undefined : new RepetitionWatch(repetition);

/** Ends the answer before a stop string, where its JSON is complete, or when it only repeats itself. */
async function runAnswer(
  prepared: Prepared,
  generation: Generation,
  onPiece: OnPiece,
  signal: AbortSignal,
): Promise<Ended> {
  const scanner = new StopScanner(generation.stop);
  const json = generation.schema === undefined ? undefined : new JsonEnd();
  const watch = watchOf(generation);
  let repeats = false;
  const outcome = await prepared.run((token) => {
    const text = scanner.push(json ? json.push(token.text) : token.text);
    onPiece({ text, tokens: [token] });
    if (scanner.stopped || json?.closed) return false;
    repeats = watch?.push(token.text) ?? false;
    return !repeats;
  }, signal);
  const rest = scanner.flush();
  if (rest !== "") onPiece({ text: rest, tokens: [] });
  return repeats ? { ...outcome, finish: "repetition" } : outcome;
}
