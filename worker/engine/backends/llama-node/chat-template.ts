// From a conversation to the one string and the pictures that the library takes, and what places they will fill.
import type { SafeImage } from "../../../job/handler.ts";
import { invalid, type Message, type Part, type Prompt, type Thinking } from "../../generation/backend.ts";
import { MEDIA, type ModelFile } from "../../generation/model-file.ts";
import { breakUp } from "../../generation/special-tokens.ts";
import { type ThinkingMarks, thinkingEnd, thinkingMarks } from "../../generation/thinking-marks.ts";
import type { ChatMessage, NativeContext } from "./native.ts";
import { type Piece, type Sequence, sequenceOf } from "./slot-use.ts";

export type NativePrompt = {
  text: string;
  images: string[];
  stop: string[];
  tokens: number;
  sequence: Sequence;
};
type Rendered = { text: string; stop: string[] };
type Facts = Pick<ModelFile, "specials" | "begin"> & Partial<Pick<ModelFile, "template">>;

export class NativePrompts {
  /** How the model marks its thinking; undefined when it does not think. */
  readonly thinking: ThinkingMarks | undefined;
  readonly #context: NativeContext;
  readonly #specials: RegExp | undefined;
  readonly #begin: string;
  readonly #imageTokens = new Map<string, number>();

  constructor(context: NativeContext, { specials, begin, template = "" }: Facts) {
    this.#context = context;
    this.#specials = specials;
    this.#begin = begin;
    this.thinking = thinkingMarks(template);
  }

  async make(prompt: Prompt): Promise<NativePrompt> {
    const parts = "text" in prompt ? [] : prompt.messages.flatMap(({ parts }) => parts);
    const images = parts.filter((part) => part.type === "image").map(({ image }) => image);
    const { text, stop } =
      "text" in prompt ? { text: this.#plain(prompt.text), stop: [] } : this.#conversation(prompt);
    // A mark without a picture, or a picture without its mark, would end the process.
    if (text.split(MEDIA).length - 1 !== images.length)
      throw invalid("messages", "messages: the model's chat template has no place for these pictures.");
    // The library puts the beginning itself before a prompt with pictures, and forgets it before one without.
    const whole = text.startsWith(this.#begin) ? text : this.#begin + text;
    // It ends the process on a prompt of nothing.
    if (whole === "") throw invalid("prompt", "prompt: is empty.");
    const sequence = await this.#sequence(whole, images);
    const tokens = sequence.places.length;
    const uris = images.map(({ dataUri }) => dataUri);
    return { text: images.length === 0 ? whole : text, stop, tokens, images: uris, sequence };
  }

  /** Text and pictures are tokenized apart, as the library does it. */
  async #sequence(text: string, images: readonly SafeImage[]): Promise<Sequence> {
    const pieces: Piece[] = [];
    for (const [index, part] of text.split(MEDIA).entries()) {
      const image = images[index - 1];
      if (image) pieces.push({ sha256: image.sha256, length: await this.#tokensOf(image) });
      if (part !== "") pieces.push((await this.#context.tokenize(part)).tokens);
    }
    return sequenceOf(pieces);
  }

  /** Broken up where it spells a special token, and well-formed: half a character would not survive native code. */
  #plain(text: string): string {
    return breakUp(text.toWellFormed().replaceAll("\0", "\ufffd"), this.#specials);
  }

  #conversation({ messages, thinking }: { messages: Message[]; thinking: Thinking }): Rendered {
    const marks = this.thinking;
    if (marks === undefined) return this.#format(messages, false);
    if (thinking === "off") return this.#thoughtless(messages, marks);
    const { text, stop } = this.#format(messages, true);
    const begun = thinking === "open" ? thinking : { thought: this.#plain(thinking.thought) };
    return { text: text + thinkingEnd(text, marks, begun), stop };
  }

  /** A template that cannot be told to leave thinking out gets an empty thought. */
  #thoughtless(messages: Message[], marks: ThinkingMarks): Rendered {
    const rendered = this.#format(messages, false);
    if (rendered.text !== this.#format(messages, true).text) return rendered;
    return { ...rendered, text: rendered.text + thinkingEnd(rendered.text, marks, { thought: "" }) };
  }

  #format(messages: readonly Message[], thinks: boolean): Rendered {
    const chat = messages.map(({ role, parts }): ChatMessage => ({ role, content: this.#content(parts) }));
    try {
      const { prompt, additional_stops = [] } = this.#context.getFormattedChat(chat, undefined, {
        jinja: true,
        enable_thinking: thinks,
        // What DeepSeek and Granite call it.
        chat_template_kwargs: { thinking: thinks },
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
  async #tokensOf({ width, height, dataUri }: SafeImage): Promise<number> {
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
