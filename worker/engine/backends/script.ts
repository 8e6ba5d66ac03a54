// What a script for the scripted backend may say, and which of its rules a prompt meets. Pure.
import { z } from "zod";

const ms = z.number().min(0).max(600_000);
const Behaviour = {
  /** before the first token */
  waitMs: ms.optional(),
  /** before each further token */
  tokenMs: ms.optional(),
  /** Probabilities of the first token, by its text, for requests that ask for logprobs. */
  logprobs: z.record(z.string(), z.number().min(0).max(1)).optional(),
};
const Answer = z.union([z.string(), z.record(z.string(), z.unknown())]);
const Rule = z.strictObject({
  /** The rule is for prompts that hold this text; without it, for all. */
  when: z.string().optional(),
  /** How many requests it serves before it is spent. */
  times: z.int().min(1).optional(),
  /** A text, a JSON value, or a list to take in turn. Without it: echo, or the smallest value that fits the schema. */
  answer: z.union([Answer, z.array(Answer).min(1)]).optional(),
  /** fail: an error; hang: never an answer; freeze: the whole process hangs; crash: the process ends. */
  do: z.enum(["fail", "hang", "freeze", "crash"]).optional(),
  /** The answer's tokens that come before `do` happens. */
  afterTokens: z.int().min(0).optional(),
  ...Behaviour,
});
export const Script = z.strictObject({
  model: z.string().min(1).default("scripted"),
  contextSize: z.int().min(16).default(8_192),
  images: z.boolean().default(true),
  /** How long loading takes, and whether it fails. */
  loadMs: ms.default(0),
  loadFails: z.string().optional(),
  rules: z.array(Rule).default([]),
  ...Behaviour,
});
export type Script = z.output<typeof Script>;
export type Rule = z.output<typeof Rule>;

/** Hands out a script's rules: the first that fits and is not spent. */
export class Rules {
  readonly #script: Script;
  readonly #used = new Map<Rule, number>();

  constructor(script: Script) {
    this.#script = script;
  }

  /** The rule for a prompt with the script's defaults filled in, and how often it has served before. */
  take(prompt: string): { rule: Rule; nth: number } {
    const { rules, waitMs, tokenMs, logprobs } = this.#script;
    const fits = rules.find((rule) => prompt.includes(rule.when ?? "") && this.#left(rule) > 0);
    const nth = fits ? (this.#used.get(fits) ?? 0) : 0;
    if (fits) this.#used.set(fits, nth + 1);
    return { rule: { waitMs, tokenMs, logprobs, ...fits }, nth };
  }

  #left(rule: Rule): number {
    return (rule.times ?? Infinity) - (this.#used.get(rule) ?? 0);
  }
}

/** The nth answer of a rule as text; `undefined` when it has none. */
export function answerOf({ answer }: Rule, nth: number): string | undefined {
  const one = Array.isArray(answer) ? answer[nth % answer.length] : answer;
  return one === undefined || typeof one === "string" ? one : JSON.stringify(one);
}

/** Words with the white space before them: what the scripted backend calls tokens. */
export function words(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? [];
}
