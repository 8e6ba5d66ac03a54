// What a script for the scripted backend may say, and which of its rules a prompt meets. Pure.

import { appendFileSync } from "node:fs";
import { z } from "zod";
import { KamadoError } from "../../../errors.ts";

const ms = z.number().min(0).max(600_000);
const count = z.int().min(0).max(1_000_000);
const Behaviour = {
  /** before the first token */
  waitMs: ms.optional(),
  /** before each further token */
  tokenMs: ms.optional(),
  /** How long an answer is that is not written here: so many words of nothing in particular. */
  tokens: count.optional(),
  /** What is thought before the answer where a request asks for it, as a text or as so many words. */
  thought: z.union([z.string(), count]).optional(),
  /** How many of the prompt's tokens count as there already. */
  cachedTokens: count.optional(),
  /** Probabilities of the first token, by its text, for requests that ask for logprobs. */
  logprobs: z.record(z.string(), z.number().min(0).max(1)).optional(),
};
const Answer = z.union([z.string(), z.record(z.string(), z.unknown())]);
const Rule = z.strictObject({
  /** The rule is for prompts that hold this text; without it, for all. */
  when: z.string().optional(),
  /** How many requests it serves before it is spent. */
  times: z.int().min(1).optional(),
  /** A text, a JSON value, or a list to take in turn. Without it: `tokens`, echo, or the smallest value that fits the schema. */
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
  /** A file that gets a line for each answer begun and each one over. */
  record: z.string().min(1).optional(),
  rules: z.array(Rule).default([]),
  ...Behaviour,
});
export type Script = z.output<typeof Script>;
export type Rule = z.output<typeof Rule>;

/** Settings for a script without a file, as `wait=500,perToken=20,tokens=100`: what each is called in the script. */
const SETTINGS = {
  wait: "waitMs",
  perToken: "tokenMs",
  tokens: "tokens",
  thought: "thought",
  cached: "cachedTokens",
  contextSize: "contextSize",
  load: "loadMs",
} as const;
const SETTING = /^([A-Za-z]+)=(\d+)$/;

/** Whether `text` is settings; otherwise it is JSON or a file's name. */
export const areSettings = (text: string) => text.split(",").every((one) => SETTING.test(one.trim()));

/** Throws `config_invalid`, which names what is wrong. */
export function scriptOfSettings(text: string): Script {
  const entries = text.split(",").map((one) => {
    const [, name, value] = SETTING.exec(one.trim())!;
    if (name! in SETTINGS) return [SETTINGS[name as keyof typeof SETTINGS], Number(value)];
    throw new KamadoError(
      "config_invalid",
      `--script: there is no setting ${name}; there are ${Object.keys(SETTINGS).join(", ")}.`,
    );
  });
  return checkScript(Object.fromEntries(entries));
}

/** Throws `config_invalid`, which names the field. */
export function checkScript(value: unknown): Script {
  const parsed = Script.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new KamadoError("config_invalid", `The script's ${path.join(".") || "top"}: ${message}.`);
}

/** Hands out a script's rules: the first that fits and is not spent. */
export class Rules {
  readonly #script: Script;
  readonly #used = new Map<Rule, number>();

  constructor(script: Script) {
    this.#script = script;
  }

  /** The rule for a prompt with the script's defaults filled in, and how often it has served before. */
  take(prompt: string): { rule: Rule; nth: number } {
    const fits = this.#find(prompt);
    const nth = fits ? (this.#used.get(fits) ?? 0) : 0;
    if (fits) this.#used.set(fits, nth + 1);
    return { rule: this.#filled(fits), nth };
  }

  /** The same without spending it. */
  see(prompt: string): Rule {
    return this.#filled(this.#find(prompt));
  }

  #find(prompt: string): Rule | undefined {
    return this.#script.rules.find((rule) => prompt.includes(rule.when ?? "") && this.#left(rule) > 0);
  }

  #filled(rule: Rule | undefined): Rule {
    const { waitMs, tokenMs, tokens, thought, cachedTokens, logprobs } = this.#script;
    return { waitMs, tokenMs, tokens, thought, cachedTokens, logprobs, ...rule };
  }

  #left(rule: Rule): number {
    return (rule.times ?? Infinity) - (this.#used.get(rule) ?? 0);
  }
}

/** The nth answer of a rule as text; `undefined` when it has none. */
export function answerOf({ answer, tokens }: Rule, nth: number): string | undefined {
  const one = Array.isArray(answer) ? answer[nth % answer.length] : answer;
  if (one === undefined) return tokens === undefined ? undefined : filler(tokens);
  return typeof one === "string" ? one : JSON.stringify(one);
}

/** What is thought before it, when something is. */
export function thoughtOf({ thought = "" }: Rule): string {
  return typeof thought === "number" ? filler(thought) : thought;
}

const FILLER = "The stove is always lit and the rice is never late.".split(" ");
const filler = (count: number) =>
  Array.from({ length: count }, (_, at) => FILLER[at % FILLER.length]).join(" ");

/** Words with the white space before them: what the scripted backend calls tokens. */
export function words(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? [];
}

// What a scripted engine was asked, on disk: one JSON line for each answer begun and each one over. It outlives the process,
// however that ends, so that answers can be counted over any number of engines and crashes.
export type Record = { at: number; pid: number; what: "begun" | "over"; prompt: string };

/** Notes in the file at `path`, which many engines may share; without one, nowhere. */
export function recordIn(path: string | undefined): (what: Record["what"], prompt: string) => void {
  if (path === undefined) return () => {};
  return (what, prompt) => {
    const line: Record = { at: Date.now(), pid: process.pid, what, prompt };
    // One write a line, at once: a buffer would die with the process.
    appendFileSync(path, `${JSON.stringify(line)}\n`);
  };
}
