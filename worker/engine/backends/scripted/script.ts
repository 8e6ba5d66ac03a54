// The script of the scripted backend: what it may contain, which of its rules a prompt gets, and the file that records its requests.
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
  /** An answer of so many words without meaning, for rules without an `answer`. */
  tokens: count.optional(),
  /** The thinking before the answer, for requests that ask for it: a text or a number of words. */
  thought: z.union([z.string(), count]).optional(),
  /** How many of the prompt's tokens count as cached. */
  cachedTokens: count.optional(),
  /** For requests that ask for logprobs: the probabilities of the first token, by its text. */
  logprobs: z.record(z.string(), z.number().min(0).max(1)).optional(),
};
const Answer = z.union([z.string(), z.record(z.string(), z.unknown())]);
const Rule = z.strictObject({
  /** The rule is for prompts that contain this text; without it, for all. */
  when: z.string().optional(),
  /** How many requests get the rule before it is used up. */
  times: z.int().min(1).optional(),
  /** A text, a JSON value, or a list of them to use in turn. Without it: `tokens`, the smallest value of the schema, or an echo. */
  answer: z.union([Answer, z.array(Answer).min(1)]).optional(),
  /** fail: an error; hang: no answer; freeze: the whole process hangs; crash: the process ends. */
  do: z.enum(["fail", "hang", "freeze", "crash"]).optional(),
  /** How many tokens of the answer come before `do` happens. */
  afterTokens: z.int().min(0).optional(),
  /** For requests with tools: what the answer calls after its text. Without it a forced call has the smallest arguments. */
  calls: z
    .array(z.strictObject({ name: z.string(), arguments: z.record(z.string(), z.unknown()) }))
    .optional(),
  ...Behaviour,
});
export const Script = z.strictObject({
  model: z.string().min(1).default("scripted"),
  contextSize: z.int().min(16).default(8_192),
  images: z.boolean().default(true),
  /** Whether it has a place for tools, as a model's chat template may have. */
  tools: z.boolean().default(true),
  loadMs: ms.default(0),
  /** The reason why loading fails. */
  loadFails: z.string().optional(),
  /** A file that gets a line for each answer that begins and each that ends. */
  record: z.string().min(1).optional(),
  rules: z.array(Rule).default([]),
  ...Behaviour,
});
export type Script = z.output<typeof Script>;
export type Rule = z.output<typeof Rule>;

/** The settings of the short form `wait=500,perToken=20,tokens=100`, with their names in a script. */
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

/** Whether `text` is the short form. Otherwise it is JSON or a file's path. */
export const areSettings = (text: string) => text.split(",").every((one) => SETTING.test(one.trim()));

/** Throws `config_invalid`, which names the setting. */
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

const MAX_REMEMBERED = 1_000;

/** Chooses a script's rule for each prompt: the first that fits and is not used up. */
export class Rules {
  readonly #script: Script;
  readonly #used = new Map<Rule, number>();
  /** The rule that a prompt got last. */
  readonly #last = new Map<string, Rule>();

  constructor(script: Script) {
    this.#script = script;
  }

  /** Uses the rule for a prompt once. Returns it with the script's defaults, and how often it was used before. */
  take(prompt: string): { rule: Rule; nth: number } {
    const fits = this.#find(prompt);
    const nth = fits ? (this.#used.get(fits) ?? 0) : 0;
    if (fits) this.#used.set(fits, nth + 1);
    if (this.#last.size >= MAX_REMEMBERED) this.#last.clear();
    this.#last.set(prompt, this.#filled(fits));
    return { rule: this.#filled(fits), nth };
  }

  /** The rule that the prompt got, for a run that goes on with its answer. */
  again(prompt: string): Rule {
    return this.#last.get(prompt) ?? this.peek(prompt);
  }

  /** The rule for a prompt, without using it. */
  peek(prompt: string): Rule {
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

/** The nth answer of a rule as text. `undefined` when it has none. */
export function answerOf({ answer, tokens }: Rule, nth: number): string | undefined {
  const one = Array.isArray(answer) ? answer[nth % answer.length] : answer;
  if (one === undefined) return tokens === undefined ? undefined : filler(tokens);
  return typeof one === "string" ? one : JSON.stringify(one);
}

/** The thinking of a rule as text. Empty when it has none. */
export function thoughtOf({ thought = "" }: Rule): string {
  return typeof thought === "number" ? filler(thought) : thought;
}

const FILLER = "The stove is always lit and the rice is never late.".split(" ");
const filler = (count: number) =>
  Array.from({ length: count }, (_, at) => FILLER[at % FILLER.length]).join(" ");

/** The tokens of the scripted backend: words with the white space before them. */
export function words(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? [];
}

/** One line of the record. The file outlives the process, so that answers can be counted over several engines and crashes. */
export type Record = { at: number; pid: number; what: "begun" | "over"; prompt: string };

/** Appends to the file at `path`, which several engines may share. Without a path it does nothing. */
export function recordIn(path: string | undefined): (what: Record["what"], prompt: string) => void {
  if (path === undefined) return () => {};
  return (what, prompt) => {
    const line: Record = { at: Date.now(), pid: process.pid, what, prompt };
    // Synchronously: a buffered line would be lost in a crash.
    appendFileSync(path, `${JSON.stringify(line)}\n`);
  };
}
