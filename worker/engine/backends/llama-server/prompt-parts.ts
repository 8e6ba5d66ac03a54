// A prompt as llama-server takes it, and what is cut, put apart or put at its end on the way there. Pure.
import type { Part, Thinking } from "../../backend.ts";
import { thinkingEnd, thinkingMarks } from "../../thinking-marks.ts";

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
