// Which chat template a model gets: its file's own, the one that the owner names, or ChatML where there is none; and the marks that end
// an answer in a template that is not the file's own. How a conversation is rendered with it is left to the backends.
import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { Template } from "@huggingface/jinja";
import { KamadoError } from "../../errors.ts";

const VARIABLE = "KAMADO_CHAT_TEMPLATE";
/** No real template is so large. */
const MAX_BYTES = 1_000_000;

const IS_SYSTEM_FIRST = "messages[0]['role'] == 'system'";
const BUILT_IN = {
  chatml:
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  // It has no role for the system: its text begins the first message.
  gemma: `{{ bos_token }}{% if ${IS_SYSTEM_FIRST} %}{% set system = messages[0]['content'] + '\\n\\n' %}{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\\n' + (system if loop.first else '') + m['content'] + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}`,
  llama3:
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
  zephyr:
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
} as const;
type BuiltIn = keyof typeof BUILT_IN;

/** Most models without a template were trained on this one or understand it. */
export const CHATML = BUILT_IN.chatml;

/** Where an answer ends, by a mark that a template contains. */
const ENDS: readonly [sign: string, ends: readonly string[]][] = [
  ["<|im_start|>", ["<|im_end|>", "<|im_start|>"]],
  ["<start_of_turn>", ["<end_of_turn>", "<start_of_turn>"]],
  ["<|start_header_id|>", ["<|eot_id|>", "<|start_header_id|>"]],
  ["'|>\\n'", ["<|user|>", "<|system|>", "<|assistant|>"]],
  ["<|user|>", ["<|user|>", "<|system|>"]],
];

/** The template that the owner wants, whatever the model's file says. */
export type NamedTemplate = { name: string; source: string };
export type ChatTemplate = {
  source: string;
  /** "file", "assumed: chatml", or the name of the one that the owner wants. */
  from: string;
  /** Marks that end an answer and are ordinary text to this model. A mark that is one of its tokens ends an answer by itself. */
  endMarks: readonly string[];
};

/** A built-in name, or the path of a Jinja file. Throws `config_invalid`. */
export function namedTemplate(wanted: string): NamedTemplate {
  if (Object.hasOwn(BUILT_IN, wanted)) return { name: wanted, source: BUILT_IN[wanted as BuiltIn] };
  const source = sourceOf(wanted);
  try {
    new Template(source);
  } catch (cause) {
    throw wrong(`${wanted} is no Jinja template (${(cause as Error).message})`, cause);
  }
  return { name: basename(wanted), source };
}

function sourceOf(path: string): string {
  const stat = path.includes("\0") ? undefined : statSync(path, { throwIfNoEntry: false });
  const names = Object.keys(BUILT_IN).join(", ");
  if (stat === undefined) throw wrong(`there is no file ${path}; the built-in templates are ${names}`);
  if (!stat.isFile()) throw wrong(`${path} is not a file`);
  if (stat.size > MAX_BYTES) throw wrong(`${path} is too large for a template`);
  const source = readFileSync(path, "utf8").replace(/^\ufeff/, "");
  if (source.trim() === "") throw wrong(`${path} is empty`);
  return source;
}

const wrong = (what: string, cause?: unknown) =>
  new KamadoError("config_invalid", `${VARIABLE}: ${what}.`, { cause });

/** `own` is that of the model's file, `tokens` are those of its vocabulary. */
export function chooseTemplate(
  own: string | undefined,
  tokens: readonly string[],
  wanted?: NamedTemplate,
): ChatTemplate {
  if (wanted === undefined && own) return { source: own, from: "file", endMarks: [] };
  const { source, name } = wanted ?? { source: CHATML, name: "assumed: chatml" };
  const ends = ENDS.flatMap(([sign, ends]) => (source.includes(sign) ? ends : []));
  // Looked for one by one: a set of a quarter of a million tokens takes longer to make than a few marks to find.
  return { source, from: name, endMarks: [...new Set(ends)].filter((mark) => !tokens.includes(mark)) };
}

/** What the log says at the start; undefined where the model has its own template and nobody wants another. */
export function templateWarning({ from }: Pick<ChatTemplate, "from">): string | undefined {
  if (!from.startsWith("assumed")) return undefined;
  return `the model's file has no chat template: ChatML is assumed, and answers are poor if the model was not trained on it; ${VARIABLE} names another (${Object.keys(BUILT_IN).join(", ")}, or a Jinja file)`;
}
