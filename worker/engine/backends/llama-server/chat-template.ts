// From a conversation to tokens, by the server's own template and tokenizer. What came from outside never becomes a special
// token: exactly so in text; where there are pictures the server takes one string, in which special spellings are broken up.
import { invalid, type Part, type Prompt, type Thinking } from "../../generation/backend.ts";
import { breakUp, Marks } from "../../generation/special-tokens.ts";
import { type ThinkingMarks, thinkingEnd, thinkingMarks } from "../../generation/thinking-marks.ts";
import type { Server } from "./client.ts";

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
    const { client, template } = this.#server();
    const body = { messages, chat_template_kwargs: { enable_thinking: thinking !== "off" } };
    const { prompt } = await client.post<{ prompt: string }>("/apply-template", body).catch((thrown) => {
      if (thrown.code !== "engine_rejected") throw thrown;
      throw invalid("messages", "messages: the model's chat template refuses this conversation.", thrown);
    });
    return prompt + endOf(prompt, template, thinking, outside);
  }

  async #tokenize(content: (string | number)[], special: boolean): Promise<number[]> {
    const body = { content, add_special: true, parse_special: special };
    return (await this.#server().client.post<{ tokens: number[] }>("/tokenize", body)).tokens;
  }

  /** Depends on a picture's size only, so each size is measured once. */
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

// A prompt as llama-server takes it, and what is cut, put apart or put at its end on the way there. Pure.
// gpt-oss chooses a channel of its own unless the answer's is already open.
const HARMONY = { thinks: "<|channel|>analysis", answer: "<|channel|>final<|message|>" };
export type Image = Extract<Part, { type: "image" }>["image"];
export type ServerPrompt = {
  /** Pictures are negative numbers here, the same for the same picture, as many as it has tokens. */
  tokens: number[];
  images: Image[];
  /** With pictures: the text around them. The mark between differs from run to run of the server. */
  texts: string[] | undefined;
  /** Where thinking ends, when that is what is to be said. */
  end: string | undefined;
};

/** What /completion takes for it; `marker` is this run's. */
export function promptFor({ tokens, images, texts }: ServerPrompt, marker: string): unknown {
  if (texts === undefined) return tokens;
  const multimodal_data = images.map(({ dataUri }) => dataUri.slice(dataUri.indexOf(",") + 1));
  return { prompt_string: texts.join(marker), multimodal_data };
}

/** Its first `count` tokens alone; with pictures they end with one, and something else must follow. */
export function beginningOf(prompt: ServerPrompt, count: number): ServerPrompt {
  const tokens = prompt.tokens.slice(0, count);
  const pictures = picturesAt(tokens).length;
  if (pictures === 0) return { tokens, images: [], texts: undefined, end: undefined };
  const texts = apart([...prompt.texts!.slice(0, pictures), ""]);
  return { tokens, images: prompt.images.slice(0, pictures), texts, end: undefined };
}

/** What must still follow a rendered conversation so that the answer begins as wanted. */
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
  // A template that always lets it think: then it has thought nothing.
  return rendered.trimEnd().endsWith(marks.open) ? thinkingEnd(rendered, marks, { thought: "" }) : "";
}

/**
 * A special spelling in two, and what is left of it again if that is special too: no cut piece can be read as special, even
 * by a tokenizer that is not asked to.
 */
export function cut(text: string, specials: RegExp | undefined): string[] {
  const [first, rest] = [[...text][0] ?? "", [...text].slice(1).join("")];
  const isSpecial = specials !== undefined && rest.search(specials) !== -1;
  return isSpecial ? [first, ...cut(rest, specials)] : [first, rest].filter((piece) => piece !== "");
}

/**
 * A line break after a picture that nothing follows. The server ends when a picture is the last of a prompt, and fails when it
 * goes back to the end of the first of two that stand side by side.
 */
export function apart(texts: readonly string[]): string[] {
  return texts.map((text, at) => (text === "" && at > 0 ? "\n" : text));
}

/** Where each picture begins. */
export function picturesAt(tokens: readonly number[]): number[] {
  return [...tokens.keys()].filter((at) => tokens[at]! < 0 && tokens[at] !== tokens[at - 1]);
}

/** The same for the same picture, and for no other. */
export function pictureTokens({ sha256 }: Image, count: number): number[] {
  return Array(count).fill(-1 - Number.parseInt(sha256.slice(0, 12), 16));
}
