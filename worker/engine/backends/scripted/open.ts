// A backend without a model: it answers from a script, with the delays that the script gives, always the same. For tests, for trying
// Kamado, and for load tests of its HTTP side. script.ts defines what a script may contain.
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../../../errors.ts";
import {
  type Backend,
  type BackendState,
  type CallFormat,
  type Emit,
  type Generation,
  invalid,
  type Logprob,
  type Outcome,
  type Prompt,
  roomFor,
  type Token,
} from "../../generation/backend.ts";
import {
  answerOf,
  areSettings,
  checkScript,
  type Rule,
  Rules,
  recordIn,
  type Script,
  scriptOfSettings,
  thoughtOf,
  words,
} from "./script.ts";
import { smallestValue } from "./smallest-value.ts";

/** How many token ids exist. A bias for any other is refused. */
const VOCABULARY = 32_000;
/** As Hermes and Qwen write calls. */
export const HERMES_CALLS: CallFormat = {
  open: '<tool_call>\n{"name": "',
  middle: '", "arguments": ',
  close: "}\n</tool_call>",
  next: '\n<tool_call>\n{"name": "',
  mark: "<tool_call>",
  isFirst: false,
};

/** `script` is a file's path, the JSON itself, or settings. Without it the backend echoes every prompt. */
export async function openScripted(options: {
  script?: string | undefined;
  slots: number;
}): Promise<Backend> {
  const script = await readScript(options.script);
  await sleep(script.loadMs);
  if (script.loadFails !== undefined) throw new KamadoError("engine_unavailable", script.loadFails);
  const { model, contextSize, images } = script;
  const thinks = [script, ...script.rules].some((one) => thoughtOf(one) !== "");
  const running = new Set<Run>();
  const rules = new Rules(script);
  const record = recordIn(script.record);
  let steps = 0;
  return {
    calls: script.tools ? HERMES_CALLS : undefined,
    info: { backend: "scripted", model, contextSize, images, thinks, slots: options.slots, unsupported: [] },
    async prepare(generation) {
      const prompt = textOf(generation.prompt);
      checkBiases(generation);
      const promptTokens = words(prompt).length + thoughtTokens(generation.prompt);
      const room = roomFor(promptTokens, contextSize, generation.maxTokens);
      const cachedTokens = Math.min(promptTokens - 1, rules.peek(prompt).cachedTokens ?? 0);
      return {
        promptTokens,
        warmTokens: () => cachedTokens,
        run(emit, signal) {
          const { rule, tokens } = answerTo(generation, rules, prompt);
          const run: Run = { rule, tokens, room, promptTokens, cachedTokens, emitted: 0 };
          running.add(run);
          record("begun", prompt);
          const countStep: Emit = (token) => ++steps > 0 && emit(token);
          return play(run, countStep, signal).finally(() => {
            running.delete(run);
            record("over", prompt);
          });
        },
      };
    },
    state: () => stateOf([...running], options.slots, steps),
    close: async () => {},
  };
}

async function readScript(script = "{}"): Promise<Script> {
  if (areSettings(script)) return scriptOfSettings(script);
  return checkScript(
    JSON.parse(script.trimStart().startsWith("{") ? script : await readFile(script, "utf8")),
  );
}

function checkBiases({ sampling }: Generation): void {
  for (const id of sampling.logitBias.keys())
    if (id >= VOCABULARY) throw invalid("logit_bias", `logit_bias: this model has no token ${id}.`);
}

/** One answer while it is given. */
type Run = {
  rule: Rule;
  tokens: Token[];
  /** how many tokens it may have */
  room: number;
  promptTokens: number;
  cachedTokens: number;
  emitted: number;
};

async function play(run: Run, emit: Emit, signal: AbortSignal): Promise<Outcome> {
  const { rule, tokens, room, promptTokens, cachedTokens } = run;
  await pause(rule.waitMs, signal);
  const outcome = (finish: Outcome["finish"]): Outcome => {
    return { finish, promptTokens, cachedTokens, completionTokens: run.emitted };
  };
  for (const token of tokens) {
    if (run.emitted === (rule.afterTokens ?? 0)) await misbehave(rule.do, signal);
    if (run.emitted === room) return outcome("length");
    if (run.emitted > 0) await pause(rule.tokenMs, signal);
    run.emitted++;
    if (!emit(token)) return outcome("stop");
  }
  // An answer that is shorter than `afterTokens` misbehaves at its end.
  await misbehave(run.emitted <= (rule.afterTokens ?? 0) ? rule.do : undefined, signal);
  return outcome("stop");
}

async function pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (ms) await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}

async function misbehave(how: Rule["do"], signal: AbortSignal): Promise<void> {
  if (how === "fail") throw new Error("the script says: fail");
  if (how === "crash") process.exit(70);
  if (how === "freeze") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (how === "hang")
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

function stateOf(running: readonly Run[], slots: number, steps: number): BackendState {
  const busy = running.map(({ emitted, promptTokens }) => {
    const state = emitted === 0 ? ("prefill" as const) : ("decode" as const);
    return { state, tokens: promptTokens + emitted };
  });
  const idle = Array.from({ length: slots - busy.length }, () => ({ state: "idle" as const, tokens: 0 }));
  return { slots: [...busy, ...idle], steps, prefixes: { count: 0, bytes: 0 } };
}

/**
 * The rule for a prompt, and the tokens of its answer. A request for the thinking does not use the rule up and does not make the
 * backend misbehave: both happen in the answer that follows it.
 */
function answerTo(generation: Generation, rules: Rules, all: string): { rule: Rule; tokens: Token[] } {
  const { prompt, schema, topLogprobs } = generation;
  if ("messages" in prompt && prompt.thinking === "open") {
    const { do: _, ...rule } = rules.peek(all);
    return { rule, tokens: plain(thoughtOf(rule)) };
  }
  if (generation.tools !== undefined) {
    const called = calledTokens(generation, rules, all);
    if (called !== undefined) return called;
  }
  const { rule, nth } = rules.take(all);
  const answer =
    schema === undefined
      ? answerOf(rule, nth)
      : (answerOf({ ...rule, tokens: undefined }, nth) ?? JSON.stringify(smallestValue(schema)));
  if (topLogprobs !== undefined) return { rule, tokens: withLogprobs(answer, rule.logprobs, topLogprobs) };
  return { rule, tokens: plain(answer ?? echo(prompt, all)) };
}

/** A run of an answer with tools: a call, or the text before and after calls. Undefined when it is an answer without calls. */
function calledTokens(generation: Generation, rules: Rules, all: string) {
  const { prompt, calls, shown, tools } = generation;
  const begun = "messages" in prompt ? (prompt.begun ?? []) : [];
  const nth = begun.filter(({ text }) => text === HERMES_CALLS.close).length;
  const isFirst = nth === 0 && (tools!.isForced || calls === undefined);
  if (isFirst && calls === undefined && (rules.peek(all).calls === undefined || shown === undefined))
    return undefined;
  const taken = isFirst ? rules.take(all) : { rule: rules.again(all), nth: 0 };
  const { rule } = taken;
  const wanted = rule.calls?.[nth];
  if (calls === undefined) {
    const text = nth === 0 ? (answerOf(rule, taken.nth) ?? "") : "";
    return { rule, tokens: plain(wanted === undefined ? text : `${text}\n${HERMES_CALLS.mark}`) };
  }
  const call = calls.find(({ tool }) => tool.name === wanted?.name);
  const start = call ?? calls[0]!;
  const value = call === undefined ? smallestValue(start.tool.parameters) : wanted!.arguments;
  return { rule, tokens: plain(start.before + JSON.stringify(value)) };
}

const plain = (text: string): Token[] => words(text).map((word) => ({ text: word }));

/** The first token has the distribution of the script. It is the likeliest one, unless the script has an answer. */
function withLogprobs(answer: string | undefined, scripted: Rule["logprobs"], count: number): Token[] {
  const [first, ...rest] = words(answer ?? "");
  const probabilities = scripted ?? (first === undefined ? { y: 0.9, n: 0.1 } : { [first]: 0.9 });
  const all: Logprob[] = Object.entries(probabilities)
    .map(([text, probability]) => ({ text, logprob: Math.log(probability) }))
    .sort((a, b) => b.logprob - a.logprob);
  const text = first ?? all[0]?.text ?? "";
  const logprob = all.find((one) => one.text === text)?.logprob ?? -Infinity;
  return [
    { text, logprob, top: all.slice(0, count) },
    ...rest.map((word) => ({ text: word, logprob: 0, top: [] })),
  ];
}

function textOf(prompt: Prompt): string {
  if ("text" in prompt) return prompt.text;
  return prompt.messages
    .flatMap(({ parts, toolCalls = [] }) => [
      ...parts.map((part) => (part.type === "text" ? part.text : `<image ${part.image.sha256}>`)),
      ...toolCalls.map(({ name, arguments: json }) => `${name} ${json}`),
    ])
    .join("\n");
}

/** A thought is part of the prompt. */
function thoughtTokens(prompt: Prompt): number {
  if ("text" in prompt || typeof prompt.thinking === "string") return 0;
  return words(prompt.thinking.thought).length;
}

const INPUT = { open: "<input>", close: "</input>" };

/** The last message, or what is between `<input>` and `</input>` in it. */
function echo(prompt: Prompt, all: string): string {
  const last = "text" in prompt ? all : textOf({ ...prompt, messages: prompt.messages.slice(-1) });
  const [from, to] = [last.indexOf(INPUT.open), last.lastIndexOf(INPUT.close)];
  return (from < 0 || to < from ? last : last.slice(from + INPUT.open.length, to)).trim();
}
