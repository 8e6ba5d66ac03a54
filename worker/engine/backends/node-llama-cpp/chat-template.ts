// Turns a conversation into tokens with the model's own chat template. Text from outside never becomes a special token.
import { Template } from "@huggingface/jinja";
import type { LlamaModel, Token } from "node-llama-cpp";
import {
  type CallFormat,
  type Conversation,
  invalid,
  type Message,
  type Prompt,
  type Tool,
} from "../../generation/backend.ts";
import { type ChatTemplate, chooseTemplate, type NamedTemplate } from "../../generation/chat-template.ts";
import {
  begunText,
  cut,
  looksSpecial,
  Marks,
  specialPattern,
  specialSpellings,
} from "../../generation/special-tokens.ts";
import { type ThinkingMarks, thinkingEnd, thinkingMarks } from "../../generation/thinking-marks.ts";
import { callFormat, messageFields, toolObject } from "../../generation/tool-calls.ts";

// gpt-oss opens a channel for thinking unless the prompt opens the one for the answer.
const HARMONY_ANSWER = "<|channel|>final<|message|>";

/** A template's own form of messages and tools, with special spellings marked. */
type Rendered = { role: string; content: string; [field: string]: unknown }[];
type Chat = { messages: Rendered; tools: object[] | undefined };

export class Prompts {
  /** How the model marks its thinking; undefined when it does not think. */
  readonly thinking: ThinkingMarks | undefined;
  /** Undefined until it was looked for, and where the template has no place for tools. */
  calls: CallFormat | undefined;
  /** Most templates want a call's arguments as an object, some as JSON. */
  #argumentsAsText = false;
  readonly #model: LlamaModel;
  readonly #template: Template;
  readonly #suffix: string;
  readonly #specials: RegExp;

  constructor(model: LlamaModel, source = templateOf(model).source) {
    this.#model = model;
    this.thinking = thinkingMarks(source);
    this.#template = new Template(source);
    this.#suffix = source.includes("<|channel|>") ? HARMONY_ANSWER : "";
    this.#specials = specialPattern(spellings(model, source));
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

  async findCallFormat(): Promise<void> {
    const render = (messages: Message[], tools: readonly Tool[]) =>
      this.#render(
        this.#chat({ messages, tools }, (text) => text),
        false,
        false,
      );
    this.calls = await callFormat(render);
    if (this.calls !== undefined) return;
    this.#argumentsAsText = true;
    this.calls = await callFormat(render);
  }

  #conversation(conversation: Conversation, marks: Marks): string {
    const outside = (text: string) => marks.mark(text);
    const chat = this.#chat(conversation, outside);
    return this.#opened(chat, conversation, outside) + begunText(conversation.begun, outside);
  }

  #opened(chat: Chat, { thinking }: Conversation, outside: (text: string) => string): string {
    if (this.thinking === undefined) return this.#render(chat, false) + this.#suffix;
    if (thinking === "off") return this.#thoughtless(chat, this.thinking);
    const begun = thinking === "open" ? thinking : { thought: outside(thinking.thought) };
    const rendered = this.#render(chat, true);
    return rendered + thinkingEnd(rendered, this.thinking, begun);
  }

  #chat(
    { messages, tools }: Pick<Conversation, "messages" | "tools">,
    outside: (text: string) => string,
  ): Chat {
    return {
      messages: messages.map((message) => this.#messageOf(message, outside)),
      tools: tools && (outsideAll(tools.map(toolObject), outside) as object[]),
    };
  }

  #messageOf(message: Message, outside: (text: string) => string): Rendered[number] {
    const argumentsOf = (json: string) =>
      this.#argumentsAsText ? outside(json) : outsideAll(objectIn(json), outside);
    return { ...messageFields(message, outside, argumentsOf), content: outside(textOf(message)) };
  }

  /** Without thinking. A template without a switch for it gets an empty thought. */
  #thoughtless(chat: Chat, marks: ThinkingMarks): string {
    const rendered = this.#render(chat, false);
    if (this.#suffix !== "") return rendered + this.#suffix;
    if (rendered !== this.#render(chat, true)) return rendered;
    return rendered + thinkingEnd(rendered, marks, { thought: "" });
  }

  #render({ messages, tools }: Chat, thinks: boolean, isOpened = true): string {
    const { bosString, eosString } = this.#model.tokens;
    const render = (messages: Rendered) =>
      this.#template.render({
        messages,
        ...(tools && { tools }),
        add_generation_prompt: isOpened,
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

export function templateOf(model: LlamaModel, wanted?: NamedTemplate): ChatTemplate {
  const { ggml, chat_template: own } = model.fileInfo.metadata.tokenizer ?? {};
  return chooseTemplate(own, ggml?.tokens ?? [], wanted);
}

/** A model may have written arguments that are no JSON. */
function objectIn(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** The value with every text in it, keys too, made harmless. */
function outsideAll(value: unknown, outside: (text: string) => string): unknown {
  if (typeof value === "string") return outside(value);
  if (Array.isArray(value)) return value.map((one) => outsideAll(one, outside));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [outside(key), outsideAll(one, outside)]),
  );
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
function* spellings(model: LlamaModel, template: string): Generator<string> {
  const { ggml } = model.fileInfo.metadata.tokenizer ?? {};
  yield* specialSpellings({ tokens: ggml?.tokens ?? [], types: ggml?.token_type ?? [], template });
  for (const token of model.iterateAllTokens()) {
    const { control, unknown, userDefined } = model.getTokenAttributes(token);
    if (!control && !unknown && !userDefined) continue;
    const text = model.detokenize([token], true);
    if (control || unknown || looksSpecial(text)) yield text;
  }
}
