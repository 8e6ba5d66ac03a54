// From a conversation to the one string and the pictures that the library takes, and how many tokens they are.
import type { Message, Part, Prompt } from "../../backend.ts";
import { invalid } from "../../refuse.ts";
import { breakUp } from "../../special-text.ts";
import { MEDIA, type ModelFile } from "./file.ts";
import type { ChatMessage, NativeContext } from "./native.ts";

export type NativePrompt = { text: string; images: string[]; stop: string[]; tokens: number };

export class NativePrompts {
  readonly #context: NativeContext;
  readonly #specials: RegExp | undefined;
  readonly #begin: string;
  readonly #imageTokens = new Map<string, number>();

  constructor(context: NativeContext, { specials, begin }: Pick<ModelFile, "specials" | "begin">) {
    this.#context = context;
    this.#specials = specials;
    this.#begin = begin;
  }

  async make(prompt: Prompt): Promise<NativePrompt> {
    const parts = "text" in prompt ? [] : prompt.messages.flatMap(({ parts }) => parts);
    const images = parts.filter((part) => part.type === "image").map(({ image }) => image);
    const { text, stop } =
      "text" in prompt ? { text: this.#plain(prompt.text), stop: [] } : this.#format(prompt.messages);
    // A mark without a picture, or a picture without its mark, would end the process.
    if (text.split(MEDIA).length - 1 !== images.length)
      throw invalid("messages", "messages: the model's chat template has no place for these pictures.");
    // The library puts the beginning itself before a prompt with pictures, and forgets it before one without.
    const whole = text.startsWith(this.#begin) ? text : this.#begin + text;
    let tokens = (await this.#context.tokenize(whole.replaceAll(MEDIA, ""))).tokens.length;
    for (const image of images) tokens += await this.#tokensOf(image);
    const uris = images.map(({ dataUri }) => dataUri);
    return { text: images.length === 0 ? whole : text, stop, tokens, images: uris };
  }

  /** Broken up where it spells a special token, and well-formed: half a character would not survive native code. */
  #plain(text: string): string {
    return breakUp(text.toWellFormed().replaceAll("\0", "\ufffd"), this.#specials);
  }

  #format(messages: readonly Message[]): { text: string; stop: string[] } {
    const chat = messages.map(({ role, parts }): ChatMessage => ({ role, content: this.#content(parts) }));
    try {
      const { prompt, additional_stops = [] } = this.#context.getFormattedChat(chat, undefined, {
        jinja: true,
        enable_thinking: false,
      });
      return { text: prompt, stop: additional_stops };
    } catch (thrown) {
      throw invalid("messages", "messages: the model's chat template refuses this conversation.", thrown);
    }
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

  /** Depends on a picture's size only, so each size is measured once. */
  async #tokensOf({
    width,
    height,
    dataUri,
  }: {
    width: number;
    height: number;
    dataUri: string;
  }): Promise<number> {
    const size = `${width}x${height}`;
    const known = this.#imageTokens.get(size);
    if (known !== undefined) return known;
    const [begin, alone] = [
      await this.#context.tokenize(this.#begin),
      await this.#context.tokenize(MEDIA, { media_paths: [dataUri] }),
    ];
    const tokens = alone.tokens.length - begin.tokens.length;
    this.#imageTokens.set(size, tokens);
    return tokens;
  }
}
