// A backend without a model: answers from a script, with given delays, always the same. For tests and for trying Kamado.
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../../errors.ts";
import type { Backend, Generation, Logprob, Outcome, Prompt, Token } from "../backend.ts";
import { roomFor } from "../refuse.ts";
import { answerOf, type Rule, Rules, Script, words } from "./script.ts";
import { smallestValue } from "./smallest-value.ts";

/** `script` is a file's name or the JSON itself; without it everything is echoed. */
export async function openScripted(options: {
  script?: string | undefined;
  slots: number;
}): Promise<Backend> {
  const script = await readScript(options.script);
  await sleep(script.loadMs);
  if (script.loadFails !== undefined) throw new KamadoError("engine_unavailable", script.loadFails);
  const rules = new Rules(script);
  const { model, contextSize, images } = script;
  return {
    info: { backend: "scripted", model, contextSize, images, slots: options.slots },
    async prepare(generation) {
      const prompt = textOf(generation.prompt);
      const promptTokens = words(prompt).length;
      const room = roomFor(promptTokens, contextSize, generation.maxTokens);
      const { rule, nth } = rules.take(prompt);
      const tokens = tokensOf(generation, rule, nth, prompt);
      return {
        promptTokens,
        run: (emit, signal) => play({ rule, tokens, room, promptTokens }, emit, signal),
      };
    },
    close: async () => {},
  };
}

async function readScript(script: string | undefined): Promise<Script> {
  const text =
    script === undefined
      ? "{}"
      : script.trimStart().startsWith("{")
        ? script
        : await readFile(script, "utf8");
  const parsed = Script.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new KamadoError("config_invalid", `The script's ${path.join(".") || "top"}: ${message}.`);
}

type Play = { rule: Rule; tokens: Token[]; room: number; promptTokens: number };

async function play(
  { rule, tokens, room, promptTokens }: Play,
  emit: (token: Token) => boolean,
  signal: AbortSignal,
) {
  await sleep(rule.waitMs ?? 0, undefined, { signal }).catch(() => signal.throwIfAborted());
  let sent = 0;
  const outcome = (finish: Outcome["finish"]): Outcome => {
    return { finish, promptTokens, cachedTokens: 0, completionTokens: sent };
  };
  for (const token of tokens) {
    if (sent === (rule.afterTokens ?? 0)) await misbehave(rule.do, signal);
    if (sent === room) return outcome("length");
    if (sent > 0 && rule.tokenMs)
      await sleep(rule.tokenMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    sent++;
    if (!emit(token)) return outcome("stop");
  }
  await misbehave(sent <= (rule.afterTokens ?? 0) ? rule.do : undefined, signal);
  return outcome("stop");
}

async function misbehave(how: Rule["do"], signal: AbortSignal): Promise<void> {
  if (how === "fail") throw new Error("the script says: fail");
  if (how === "crash") process.exit(70);
  if (how === "freeze") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (how === "hang")
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

function tokensOf(
  { schema, topLogprobs, prompt }: Generation,
  rule: Rule,
  nth: number,
  all: string,
): Token[] {
  const answer = answerOf(rule, nth);
  if (topLogprobs !== undefined) return withLogprobs(answer, rule.logprobs, topLogprobs);
  const text = answer ?? (schema === undefined ? echo(prompt, all) : JSON.stringify(smallestValue(schema)));
  return words(text).map((word) => ({ text: word }));
}

/** The first token carries the distribution; the likeliest is chosen unless the script has an answer. */
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
  const parts = prompt.messages.flatMap(({ parts }) => parts);
  return parts.map((part) => (part.type === "text" ? part.text : `<image ${part.image.sha256}>`)).join("\n");
}

/** The last message, or what stands between its input marks. */
function echo(prompt: Prompt, all: string): string {
  const last = "text" in prompt ? all : textOf({ messages: prompt.messages.slice(-1) });
  return (/<input>([\s\S]*)<\/input>/.exec(last)?.[1] ?? last).trim();
}
