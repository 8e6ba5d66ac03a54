// How a question becomes messages. Text from outside stands between <input> and </input> and can neither close that
// block nor speak a chat template's own marks. Pure.
import type { Question } from "../job/handler.ts";

export type Part = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };
export type Message = { role: "system" | "user" | "assistant"; content: string | Part[] };

/** Instructions first and the variable part last, so that jobs of one kind share their prefix. */
export function messagesOf({ instructions, content, image }: Question): Message[] {
  const text = `<input>\n${escapeInput(content)}\n</input>`;
  const user: Message["content"] = image
    ? [
        { type: "image_url", image_url: { url: image.dataUri } },
        { type: "text", text },
      ]
    : text;
  return [
    { role: "system", content: instructions },
    { role: "user", content: user },
  ];
}

// White space and invisible characters may stand between the letters of a mark without a model minding them.
const GAP = String.raw`[\s\p{Cf}]*`;
const INPUT = [..."input"].join(GAP);
const INPUT_MARK = String.raw`[<＜﹤](?=${GAP}(?:\/${GAP})?${INPUT}(?![\p{L}\p{N}]))`;
// Many servers read these inside a message as the template's own: turns would end, pictures would be looked for.
const TEMPLATE_MARK = String.raw`<(?=[|｜][^|｜\s<>]{1,60}[|｜]>|\/?s>|bos>|eos>|(?:start|end)_of_|__media__>|<\/?SYS>>)|\[(?=\/?INST\])`;
const MARKS = new RegExp(`${INPUT_MARK}|${TEMPLATE_MARK}`, "giu");

/** Puts a backslash into every such mark: people and models still read it, and it is a mark no more. */
export function escapeInput(content: string): string {
  return content.replaceAll(MARKS, (opening) => `${opening}\\`);
}
