// Turns a conversation into tokens with the server's own template and tokenizer. Text from outside never becomes a special token.
// With pictures the server takes one string instead of tokens; special spellings in it are broken up by an invisible space.
import {
  type CallFormat,
  type Conversation,
  invalid,
  type Message,
  type Part,
  type Prompt,
  type Thinking,
  type Tool,
} from "../../generation/backend.ts";
import { begunText, breakUp, cut, Marks } from "../../generation/special-tokens.ts";
import { type ThinkingMarks, thinkingEnd, thinkingMarks } from "../../generation/thinking-marks.ts";
import { callFormat, messageFields, toolObjects } from "../../generation/tool-calls.ts";
import type { Server } from "./client.ts";

/** To render the template, the server replaces a picture by a mark and does not look at it. */
const ANY_PICTURE = "data:image/png;base64,AA==";

/** Of picture sizes whose tokens are remembered. */
const MAX_SIZES = 1_024;

type ChatMessage = { role: string; content: string | object[]; [field: string]: unknown };

export class ServerPrompts {
  readonly #server: () => Server;
  readonly #specials: RegExp;
  readonly #sizes = new Map<string, number>();
  /** Undefined until it was looked for, and where the template has no place for tools. */
  calls: CallFormat | undefined;

  constructor(server: () => Server, specials: RegExp) {
    this.#server = server;
    this.#specials = specials;
  }

  async make(prompt: Prompt): Promise<ServerPrompt> {
    if ("text" in prompt) return this.#text(prompt.text, false);
    const { messages, thinking } = prompt;
    const images = messages
      .flatMap(({ parts }) => parts)
      .flatMap((part) => (part.type === "image" ? [part.image] : []));
    const end = thinking === "open" ? this.#marks()?.close : undefined;
    if (images.length > 0) return { ...(await this.#seen(prompt, images)), end };
    const marks = new Marks(this.#specials);
    const outside = (text: string) => marks.mark(text);
    const chat = messages.map((message) => {
      return messageOf(message, outside(message.parts.map((part) => wellFormed(part)).join("\n")), outside);
    });
    const rendered = await this.#render(chat, prompt, outside);
    return { ...(await this.#text(rendered, true, marks)), end };
  }

  /** A prompt without pictures. `isOurs`: the text comes from the template, and special spellings in it are special tokens. */
  async #text(text: string, isOurs: boolean, marks = new Marks(this.#specials)): Promise<ServerPrompt> {
    const marked = isOurs ? text : marks.mark(clean(text));
    const pieces = marks
      .split(marked)
      .flatMap((one) => (one.fromOutside ? cut(one.text, this.#specials) : [one.text]));
    const tokens = await this.#tokenize(pieces, isOurs);
    if (tokens.length === 0) throw invalid("prompt", "prompt: must not be empty.");
    return { tokens, images: [], texts: undefined, end: undefined };
  }

  async #seen(
    prompt: Exclude<Prompt, { text: string }>,
    images: Image[],
  ): Promise<Omit<ServerPrompt, "end">> {
    const outside = (text: string) => breakUp(text, this.#specials);
    const chat = prompt.messages.map((message) =>
      messageOf(message, contentOf(message.parts, outside), outside),
    );
    const { marker } = this.#server();
    const texts = separated((await this.#render(chat, prompt, outside)).split(marker));
    if (texts.length !== images.length + 1)
      throw invalid("messages", "messages: the model's chat template has no place for these pictures.");
    // The tokenizer leaves numbers as they are: -1 marks the place of the first picture.
    const mixed = texts.flatMap((text, at) => (at === 0 ? [text] : [-at, text]));
    const sizes = await Promise.all(images.map((image) => this.#tokensOf(image)));
    const tokens = (await this.#tokenize(mixed, true)).flatMap((token) =>
      token < 0 ? pictureTokens(images[-token - 1]!, sizes[-token - 1]!) : [token],
    );
    return { tokens, images, texts };
  }

  #marks(): ThinkingMarks | undefined {
    return thinkingMarks(this.#server().template);
  }

  async findCallFormat(): Promise<void> {
    const render = (messages: Message[], tools: readonly Tool[]) => {
      const chat = messages.map((message) => {
        return messageOf(message, message.parts.map(wellFormed).join("\n"), (text) => text);
      });
      return this.#apply(chat, { tools: toolsOf(tools, (text) => text) }, false);
    };
    this.calls = await callFormat(render);
  }

  async #render(
    messages: ChatMessage[],
    { thinking, tools, begun }: Conversation,
    outside: (text: string) => string,
  ): Promise<string> {
    const more = tools && { tools: toolsOf(tools, outside) };
    const prompt = await this.#apply(messages, more, thinking !== "off");
    return prompt + endOf(prompt, this.#server().template, thinking, outside) + begunText(begun, outside);
  }

  async #apply(messages: ChatMessage[], more: object | undefined, thinks: boolean): Promise<string> {
    // With "none" it renders the tools, but makes no grammar of its own from them, which it cannot for every schema.
    const body = {
      messages,
      ...more,
      tool_choice: "none",
      chat_template_kwargs: { enable_thinking: thinks },
    };
    const { client } = this.#server();
    const { prompt } = await client.post<{ prompt: string }>("/apply-template", body).catch((thrown) => {
      if (thrown.code !== "engine_rejected") throw thrown;
      throw invalid("messages", "messages: the model's chat template refuses this conversation.", thrown);
    });
    return prompt;
  }

  async #tokenize(content: (string | number)[], special: boolean): Promise<number[]> {
    const body = { content, add_special: true, parse_special: special };
    return (await this.#server().client.post<{ tokens: number[] }>("/tokenize", body)).tokens;
  }

  /** The number depends only on the picture's size, so each size is measured once. */
  async #tokensOf(image: Image): Promise<number> {
    const size = `${image.width}x${image.height}`;
    const known = this.#sizes.get(size);
    if (known !== undefined) return known;
    const { client, marker } = this.#server();
    const messages = [{ role: "user", content: [pictureOf(image.dataUri)] }];
    const body = { messages, chat_template_kwargs: { enable_thinking: false } };
    const [all, { prompt }] = await Promise.all([
      client.post<{ input_tokens: number }>("/v1/chat/completions/input_tokens", body),
      client.post<{ prompt: string }>("/apply-template", body),
    ]);
    const tokens = all.input_tokens - (await this.#tokenize(prompt.split(marker), true)).length;
    if (this.#sizes.size >= MAX_SIZES) this.#sizes.clear();
    this.#sizes.set(size, tokens);
    return tokens;
  }
}

const messageOf = (
  message: Message,
  content: ChatMessage["content"],
  outside: (text: string) => string,
): ChatMessage => {
  return { ...messageFields(message, (text) => outside(clean(text))), content };
};

const toolsOf = (tools: readonly Tool[], outside: (text: string) => string) =>
  toolObjects(tools, (text) => outside(clean(text)));

function contentOf(parts: readonly Part[], outside: (text: string) => string): object[] {
  return parts.map((part) =>
    part.type === "image" ? pictureOf(ANY_PICTURE) : { type: "text", text: outside(clean(part.text)) },
  );
}

function wellFormed(part: Part): string {
  if (part.type === "text") return clean(part.text);
  throw invalid("messages", "messages: this model reads no pictures.");
}

const pictureOf = (url: string) => ({ type: "image_url", image_url: { url } });
/** Half a character is no valid JSON text, and a zero ends a string in native code. */
const clean = (text: string) => text.toWellFormed().replaceAll("\0", "\ufffd");

// gpt-oss opens a channel for thinking unless the prompt opens the one for the answer.
const HARMONY = { thinks: "<|channel|>analysis", answer: "<|channel|>final<|message|>" };
export type Image = Extract<Part, { type: "image" }>["image"];
export type ServerPrompt = {
  /** A picture is a negative number, the same for the same picture, repeated for each of its tokens. */
  tokens: number[];
  images: Image[];
  /** With pictures: the texts around them. The mark between them differs in each run of the server. */
  texts: string[] | undefined;
  /** The mark that ends the thinking, for a prompt that asks for it. */
  end: string | undefined;
};

/** The prompt as /completion takes it. `marker` is that of the running server. */
export function promptFor({ tokens, images, texts }: ServerPrompt, marker: string): unknown {
  if (texts === undefined) return tokens;
  const multimodal_data = images.map(({ dataUri }) => dataUri.slice(dataUri.indexOf(",") + 1));
  return { prompt_string: texts.join(marker), multimodal_data };
}

/** The first `count` tokens of the prompt. With pictures they end with one, which some text must follow. */
export function beginningOf(prompt: ServerPrompt, count: number): ServerPrompt {
  const tokens = prompt.tokens.slice(0, count);
  const pictures = picturesAt(tokens).length;
  if (pictures === 0) return { tokens, images: [], texts: undefined, end: undefined };
  const texts = separated([...prompt.texts!.slice(0, pictures), ""]);
  return { tokens, images: prompt.images.slice(0, pictures), texts, end: undefined };
}

/** The text to add to a rendered conversation so that the answer begins as `thinking` says. */
export function endOf(
  rendered: string,
  template: string,
  thinking: Thinking,
  outside: (text: string) => string,
): string {
  const marks = thinkingMarks(template);
  if (marks === undefined) return "";
  if (thinking === "open") return thinkingEnd(rendered, marks, "open");
  if (thinking !== "off") return thinkingEnd(rendered, marks, { thought: outside(thinking.thought) });
  if (marks.open.startsWith(HARMONY.thinks)) return HARMONY.answer;
  // A template that always opens the thinking gets an empty thought.
  return rendered.trimEnd().endsWith(marks.open) ? thinkingEnd(rendered, marks, { thought: "" }) : "";
}

/**
 * Adds a line break after a picture that no text follows. The server ends when a prompt ends with a picture, and fails when it
 * reuses the first of two pictures without text between them.
 */
export function separated(texts: readonly string[]): string[] {
  return texts.map((text, at) => (text === "" && at > 0 ? "\n" : text));
}

/** The places where pictures begin. */
export function picturesAt(tokens: readonly number[]): number[] {
  return [...tokens.keys()].filter((at) => tokens[at]! < 0 && tokens[at] !== tokens[at - 1]);
}

/** The same for the same picture, and for no other. */
function pictureTokens({ sha256 }: Image, count: number): number[] {
  return Array(count).fill(-1 - Number.parseInt(sha256.slice(0, 12), 16));
}
