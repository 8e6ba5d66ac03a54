// Turns a conversation into tokens with the model's own chat template. Text from outside never becomes a special token.
import { Template } from "@huggingface/jinja";
import type { LlamaModel, Token } from "node-llama-cpp";
import { invalid, type Message, type Prompt, type Thinking } from "../../generation/backend.ts";
import {
  cut,
  looksSpecial,
  Marks,
  specialPattern,
  specialSpellings,
} from "../../generation/special-tokens.ts";
import { type ThinkingMarks, thinkingEnd, thinkingMarks } from "../../generation/thinking-marks.ts";

// For models without a template: most were trained on this one or understand it.
const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}";
// gpt-oss opens a channel for thinking unless the prompt opens the one for the answer.
const HARMONY_ANSWER = "<|channel|>final<|message|>";

type Conversation = { messages: Message[]; thinking: Thinking };
type Rendered = { role: string; content: string }[];

export class Prompts {
  /** How the model marks its thinking; undefined when it does not think. */
  readonly thinking: ThinkingMarks | undefined;
  readonly #model: LlamaModel;
  readonly #template: Template;
  readonly #suffix: string;
  readonly #specials: RegExp;

  constructor(model: LlamaModel) {
    const source = model.fileInfo.metadata.tokenizer?.chat_template ?? CHATML;
    this.#model = model;
    this.thinking = thinkingMarks(source);
    this.#template = new Template(source);
    this.#suffix = source.includes("<|channel|>") ? HARMONY_ANSWER : "";
    this.#specials = specialPattern(spellings(model));
  }

  tokenize(prompt: Prompt): Token[] {
    const marks = new Marks(this.#specials);
    const text = "text" in prompt ? marks.mark(prompt.text) : this.#conversation(prompt, marks);
    const tokens = marks.split(text).flatMap(({ text, fromOutside }) => {
      return fromOutside ? this.#plain(text) : this.#model.tokenize(text, !("text" in prompt));
    });
    const { bos, shouldPrependBosToken } = this.#model.tokens;
    if (shouldPrependBosToken && bos !== null && tokens[0] !== bos) tokens.unshift(bos);
    return tokens;
  }

  #plain(text: string): Token[] {
    return cut(text, this.#specials).flatMap((piece) => this.#model.tokenize(piece));
  }

  #conversation({ messages, thinking }: Conversation, marks: Marks): string {
    const marked = messages.map((message) => ({
      role: message.role,
      content: marks.mark(textOf(message)),
    }));
    if (this.thinking === undefined) return this.#render(marked, false) + this.#suffix;
    if (thinking === "off") return this.#thoughtless(marked, this.thinking);
    const begun = thinking === "open" ? thinking : { thought: marks.mark(thinking.thought) };
    const rendered = this.#render(marked, true);
    return rendered + thinkingEnd(rendered, this.thinking, begun);
  }

  /** Without thinking. A template without a switch for it gets an empty thought. */
  #thoughtless(messages: Rendered, marks: ThinkingMarks): string {
    const rendered = this.#render(messages, false);
    if (this.#suffix !== "") return rendered + this.#suffix;
    if (rendered !== this.#render(messages, true)) return rendered;
    return rendered + thinkingEnd(rendered, marks, { thought: "" });
  }

  #render(messages: Rendered, thinks: boolean): string {
    const { bosString, eosString } = this.#model.tokens;
    const render = (messages: Rendered) =>
      this.#template.render({
        messages,
        add_generation_prompt: true,
        bos_token: bosString ?? "",
        eos_token: eosString ?? "",
        enable_thinking: thinks,
        reasoning_effort: thinks ? "medium" : "low",
      });
    try {
      return render(messages);
    } catch (first) {
      try {
        return render(systemFolded(messages));
      } catch {
        throw invalid("messages", "messages: the model's chat template refuses this conversation.", first);
      }
    }
  }
}

/** For templates without a system role: the system's text becomes the beginning of the first user message. */
function systemFolded(messages: Rendered): Rendered {
  const system = messages.filter(({ role }) => role === "system").map(({ content }) => content);
  const rest = messages.filter(({ role }) => role !== "system");
  const first = rest.findIndex(({ role }) => role === "user");
  return rest.map((message, index) => {
    if (index !== first) return message;
    return { ...message, content: [...system, message.content].join("\n\n") };
  });
}

function textOf({ parts }: Message): string {
  return parts
    .map((part) => {
      if (part.type === "text") return part.text;
      throw invalid("messages", "messages: this model reads no pictures.");
    })
    .join("\n");
}

/** What the library says of a token, and what the model's file says: the library gives a token that it knows by name a type. */
function* spellings(model: LlamaModel): Generator<string> {
  const { ggml, chat_template: template } = model.fileInfo.metadata.tokenizer ?? {};
  yield* specialSpellings({ tokens: ggml?.tokens ?? [], types: ggml?.token_type ?? [], template });
  for (const token of model.iterateAllTokens()) {
    const { control, unknown, userDefined } = model.getTokenAttributes(token);
    if (!control && !unknown && !userDefined) continue;
    const text = model.detokenize([token], true);
    if (control || unknown || looksSpecial(text)) yield text;
  }
}
