// Turns a conversation into the one string and the pictures that the library takes, and counts their tokens. Text from outside
// never becomes a special token: special spellings in it are broken up by an invisible space.
import { Template } from "@huggingface/jinja";
import type { SafeImage } from "../../../job/handler.ts";
import {
  type CallFormat,
  type Conversation,
  invalid,
  type Part,
  type Prompt,
} from "../../generation/backend.ts";
import { MEDIA, type ModelFile } from "../../generation/model-file.ts";
import { begunText, breakUp } from "../../generation/special-tokens.ts";
import { type ThinkingMarks, thinkingEnd, thinkingMarks } from "../../generation/thinking-marks.ts";
import { callFormat, messageFields, toolObjects } from "../../generation/tool-calls.ts";
import type { ChatMessage, NativeContext } from "./native.ts";
import type { Pictures } from "./slot-use.ts";

export type NativePrompt = {
  text: string;
  images: string[];
  stop: string[];
  tokens: number;
  pictures: Pictures;
};
/** Of picture sizes whose tokens are remembered. */
const MAX_SIZES = 1_024;
type Rendered = { text: string; stop: string[] };
type Facts = Pick<ModelFile, "specials" | "begin"> & Partial<Pick<ModelFile, "template" | "end">>;

export class NativePrompts {
  /** How the model marks its thinking; undefined when it does not think. */
  readonly thinking: ThinkingMarks | undefined;
  /** Undefined until it was looked for, and where the template has no place for tools. */
  calls: CallFormat | undefined;
  readonly #context: NativeContext;
  readonly #specials: RegExp;
  readonly #begin: string;
  readonly #end: string;
  /** Undefined for the one in the model's file. The library ends the process when a model without one is given one. */
  readonly #template: Template | undefined;
  readonly #imageTokens = new Map<string, number>();

  constructor(context: NativeContext, { specials, begin, end = "", template }: Facts) {
    this.#context = context;
    this.#specials = specials;
    this.#begin = begin;
    this.thinking = thinkingMarks(template?.source ?? "");
    this.#end = end;
    if (template !== undefined && template.from !== "file") this.#template = new Template(template.source);
  }

  async make(prompt: Prompt): Promise<NativePrompt> {
    const parts = "text" in prompt ? [] : prompt.messages.flatMap(({ parts }) => parts);
    const images = parts.filter((part) => part.type === "image").map(({ image }) => image);
    const { text, stop } =
      "text" in prompt ? { text: this.#plain(prompt.text), stop: [] } : this.#conversation(prompt);
    // The library ends the process when a mark has no picture or a picture has no mark.
    if (text.split(MEDIA).length - 1 !== images.length)
      throw invalid("messages", "messages: the model's chat template has no place for these pictures.");
    // The library adds the model's beginning to a prompt with pictures, but not to one without.
    const whole = text.startsWith(this.#begin) ? text : this.#begin + text;
    // The library ends the process on an empty prompt.
    if (whole === "") throw invalid("prompt", "prompt: is empty.");
    const counted = await this.#count(whole, images);
    const uris = images.map(({ dataUri }) => dataUri);
    return { text: images.length === 0 ? whole : text, stop, images: uris, ...counted };
  }

  /** Text and pictures are tokenized separately, as the library does it. */
  async #count(
    text: string,
    images: readonly SafeImage[],
  ): Promise<Pick<NativePrompt, "tokens" | "pictures">> {
    let tokens = 0;
    const ends: number[] = [];
    for (const [index, part] of text.split(MEDIA).entries()) {
      const image = images[index - 1];
      if (image) {
        tokens += await this.#tokensOf(image);
        ends.push(tokens);
      }
      if (part !== "") tokens += (await this.#context.tokenize(part)).tokens.length;
    }
    const before = text.slice(0, text.lastIndexOf(MEDIA) + MEDIA.length);
    const key = images.length === 0 ? "" : [before, ...images.map(({ sha256 }) => sha256)].join("\0");
    return { tokens, pictures: { key, ends } };
  }

  /** Special spellings broken up, and no half characters or zeros, which native code does not survive. */
  readonly #plain = (text: string): string =>
    breakUp(text.toWellFormed().replaceAll("\0", "\ufffd"), this.#specials);

  async findCallFormat(): Promise<void> {
    this.calls = await callFormat(
      (messages, tools) => this.#format({ messages, tools, thinking: "off" }, false).text,
    );
  }

  #conversation(conversation: Conversation): Rendered {
    const { text, stop } = this.#opened(conversation);
    return { text: text + begunText(conversation.begun, this.#plain), stop };
  }

  #opened(conversation: Conversation): Rendered {
    const marks = this.thinking;
    const { thinking } = conversation;
    if (marks === undefined) return this.#format(conversation, false);
    if (thinking === "off") return this.#thoughtless(conversation, marks);
    const { text, stop } = this.#format(conversation, true);
    const begun = thinking === "open" ? thinking : { thought: this.#plain(thinking.thought) };
    return { text: text + thinkingEnd(text, marks, begun), stop };
  }

  /** A template without a switch for thinking gets an empty thought. */
  #thoughtless(conversation: Conversation, marks: ThinkingMarks): Rendered {
    const rendered = this.#format(conversation, false);
    if (rendered.text !== this.#format(conversation, true).text) return rendered;
    return { ...rendered, text: rendered.text + thinkingEnd(rendered.text, marks, { thought: "" }) };
  }

  #format({ messages, tools }: Conversation, thinks: boolean): Rendered {
    const chat = messages.map((message): ChatMessage => {
      return { ...messageFields(message, this.#plain), content: this.#content(message.parts) };
    });
    try {
      if (this.#template !== undefined) return this.#render(this.#template, chat, tools, thinks);
      const { prompt, additional_stops = [] } = this.#context.getFormattedChat(chat, undefined, {
        jinja: true,
        enable_thinking: thinks,
        // The name that DeepSeek and Granite use.
        chat_template_kwargs: { thinking: thinks },
        // With "none" it renders the tools, but makes no grammar of its own from them, which it cannot for every schema.
        ...(tools && { tools: toolObjects(tools, this.#plain), tool_choice: "none" }),
      });
      return { text: prompt, stop: additional_stops };
    } catch (thrown) {
      throw invalid("messages", "messages: the model's chat template refuses this conversation.", thrown);
    }
  }

  #render(template: Template, chat: ChatMessage[], tools: Conversation["tools"], thinks: boolean): Rendered {
    const text = template.render({
      messages: chat.map((message) => ({ ...message, content: withMarks(message.content) })),
      ...(tools && { tools: toolObjects(tools, this.#plain) }),
      add_generation_prompt: true,
      bos_token: this.#begin,
      eos_token: this.#end,
      enable_thinking: thinks,
      thinking: thinks,
    });
    return { text, stop: [] };
  }

  #content(parts: readonly Part[]): ChatMessage["content"] {
    const converted = parts.map((part) => {
      return part.type === "text"
        ? { type: "text" as const, text: this.#plain(part.text) }
        : { type: "image_url" as const, image_url: { url: part.image.dataUri } };
    });
    const only = converted[0];
    return converted.length === 1 && only?.type === "text" ? only.text : converted;
  }

  /** The number depends only on the picture's size, so each size is measured once. */
  async #tokensOf({ width, height, dataUri }: SafeImage): Promise<number> {
    const size = `${width}x${height}`;
    const known = this.#imageTokens.get(size);
    if (known !== undefined) return known;
    const [begin, alone] = [
      await this.#context.tokenize(this.#begin),
      await this.#context.tokenize(MEDIA, { media_paths: [dataUri] }),
    ];
    const tokens = alone.tokens.length - begin.tokens.length;
    if (this.#imageTokens.size >= MAX_SIZES) this.#imageTokens.clear();
    this.#imageTokens.set(size, tokens);
    return tokens;
  }
}

/** Parts as one text, with a mark for each picture. */
const withMarks = (content: ChatMessage["content"]): string =>
  typeof content === "string"
    ? content
    : content.map((part) => (part.type === "text" ? part.text : MEDIA)).join("\n");
