// A byte-level BPE tokenizer as GGUF metadata: every byte is a token, a few words are merged, and ChatML's marks are special.
import { bool, list, type Metadata, str, u32 } from "./gguf.ts";

const NORMAL = 1;
const CONTROL = 3;
const WORDS = [
  ["y", "e"],
  ["ye", "s"],
  ["n", "o"],
  ["t", "h"],
  ["th", "e"],
] as const;
const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const IMAGE = "{% if p['type'] == 'text' %}{{ p['text'] }}{% else %}{{ '<__media__>' }}{% endif %}";
const CONTENT = `{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}${IMAGE}{% endfor %}{% endif %}`;
const CHATML = `{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}${CONTENT}{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

/** How GPT-2 writes bytes: printable ones as themselves, the others as letters from 256 on. */
function byteLetters(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/** The id of `<|im_start|>`. */
export const START_TOKEN = 256 + WORDS.length + SPECIAL.indexOf("<|im_start|>");

/** What a large vocabulary is padded with: words, half of them with a space before them. */
export function wordAt(index: number): string {
  const letters = Array.from(
    { length: 5 },
    (_, place) => "bcdfghjklmpqrstvwxz"[Math.floor(index / 19 ** place) % 19],
  );
  return (index % 2 === 0 ? "\u0120" : "") + letters.join("");
}

/** Padded to `size` with tokens that no text contains, unless `pad` gives others. */
export function byteTokenizer(
  size: number,
  {
    template = CHATML,
    pad = (index) => `[P${index}]`,
  }: { template?: string | undefined; pad?: (index: number) => string } = {},
): Metadata {
  const words = [...byteLetters(), ...WORDS.map(([a, b]) => a + b)];
  const tokens = [...words, ...SPECIAL];
  const types = tokens.map((token) => (SPECIAL.includes(token) ? CONTROL : NORMAL));
  while (tokens.length < size) {
    types.push(NORMAL);
    tokens.push(pad(tokens.length));
  }
  return {
    "tokenizer.ggml.model": str("gpt2"),
    "tokenizer.ggml.pre": str("qwen2"),
    "tokenizer.ggml.tokens": list("str", tokens),
    "tokenizer.ggml.token_type": list("i32", types),
    "tokenizer.ggml.merges": list(
      "str",
      WORDS.map(([a, b]) => `${a} ${b}`),
    ),
    "tokenizer.ggml.bos_token_id": u32(words.length),
    "tokenizer.ggml.eos_token_id": u32(words.length + 2),
    "tokenizer.ggml.padding_token_id": u32(words.length),
    "tokenizer.ggml.add_bos_token": bool(false),
    "tokenizer.chat_template": str(template),
  };
}
