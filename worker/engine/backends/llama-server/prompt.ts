// From a conversation to tokens, by the server's own template and tokenizer. What came from outside never becomes a special
// token: exactly so in text; where there are pictures the server takes one string, in which special spellings are broken up.
import type { Part, Prompt, Thinking } from "../../backend.ts";
import { invalid } from "../../refuse.ts";
import { breakUp, Marks } from "../../special-text.ts";
import { type ThinkingMarks, thinkingMarks } from "../../thinking-marks.ts";
import { apart, cut, endOf, type Image, pictureTokens, type ServerPrompt } from "./prompt-parts.ts";
import type { Server } from "./server.ts";

// The server only puts a mark in its place while it renders; what is in it does not matter then.
const ANY_PICTURE = "data:image/png;base64,AA==";

type ChatMessage = { role: string; content: string | object[] };

export class ServerPrompts {
  readonly #server: () => Server;
  readonly #specials: RegExp | undefined;
  readonly #sizes = new Map<string, number>();

  constructor(server: () => Server, specials: RegExp | undefined) {
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
    const chat = messages.map(({ role, parts }): ChatMessage => {
      return { role, content: marks.mark(parts.map((part) => wellFormed(part)).join("\n")) };
    });
    const rendered = await this.#render(chat, thinking, (thought) => marks.mark(thought));
    return { ...(await this.#text(rendered, true, marks)), end };
  }

  /** Text alone, as tokens. `isOurs`: special spellings in it are meant. */
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
    const chat = prompt.messages.map(({ role, parts }) => ({ role, content: contentOf(parts, outside) }));
    const { marker } = this.#server();
    const texts = apart((await this.#render(chat, prompt.thinking, outside)).split(marker));
    if (texts.length !== images.length + 1)
      throw invalid("messages", "messages: the model's chat template has no place for these pictures.");
    // Numbers among the strings stay as they are: -1 is where the first picture goes.
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

  async #render(
    messages: ChatMessage[],
    thinking: Thinking,
    outside: (text: string) => string,
  ): Promise<string> {
    const { wire, template } = this.#server();
    const body = { messages, chat_template_kwargs: { enable_thinking: thinking !== "off" } };
    const { prompt } = await wire.post<{ prompt: string }>("/apply-template", body).catch((thrown) => {
      if (thrown.code !== "engine_rejected") throw thrown;
      throw invalid("messages", "messages: the model's chat template refuses this conversation.", thrown);
    });
    return prompt + endOf(prompt, template, thinking, outside);
  }

  async #tokenize(content: (string | number)[], special: boolean): Promise<number[]> {
    const body = { content, add_special: true, parse_special: special };
    return (await this.#server().wire.post<{ tokens: number[] }>("/tokenize", body)).tokens;
  }

  /** Depends on a picture's size only, so each size is measured once. */
  async #tokensOf(image: Image): Promise<number> {
    const size = `${image.width}x${image.height}`;
    const known = this.#sizes.get(size);
    if (known !== undefined) return known;
    const { wire, marker } = this.#server();
    const messages = [{ role: "user", content: [pictureOf(image.dataUri)] }];
    const body = { messages, chat_template_kwargs: { enable_thinking: false } };
    const [all, { prompt }] = await Promise.all([
      wire.post<{ input_tokens: number }>("/v1/chat/completions/input_tokens", body),
      wire.post<{ prompt: string }>("/apply-template", body),
    ]);
    const tokens = all.input_tokens - (await this.#tokenize(prompt.split(marker), true)).length;
    this.#sizes.set(size, tokens);
    return tokens;
  }
}

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
/** Half a character does not survive JSON, and a zero ends a string in native code. */
const clean = (text: string) => text.toWellFormed().replaceAll("\0", "\ufffd");
