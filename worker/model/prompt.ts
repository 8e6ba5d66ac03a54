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

// Marks are sought in the folded text: letters of any width, and no invisible ones. White space, too, may stand between the
// letters of our own mark without a model minding it, and what looks like a bracket is one to a reader.
const INPUT_MARK = String.raw`[<‹⟨〈❬❮❰](?=\s*(?:[/⁄∕⧸]\s*)?${[..."input"].join(String.raw`\s*`)}(?![\p{L}\p{N}]))`;
// Many servers read these inside a message as the template's own: turns would end, pictures would be looked for.
const NAMES = String.raw`s|[be]os|[se]op|eo[td]|pad|unk|mask|cls|sep|im_(?:start|end)|think(?:ing)?|seed:\w+|tools|tool_\w+|function_call|image(?:_\w+|\d*)|img(?:_\w+)?|vision_\w+|video|audio|fim_\w+|unused\d+|extra_id_\d+`;
const ANGLE_MARK = String.raw`<(?=\|[^|\s<>]{1,60}\|?>|[^|\s<>/\\]{1,60}\|>|\/?(?:${NAMES})>|(?:start|end)_of_|__media__>|<\/?SYS>>)`;
// In capitals alone: [img] is how forums write.
const SQUARE_MARK = String.raw`\[(?=\/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+|ARGS|CALL_ID|THINK|IMG(?:_\w+)?|(?:BEGIN_)?AUDIO|BOS|EOS|CLS|SEP|PAD|UNK|[gs]?MASK)\])`;
const MARKS = [new RegExp(`${INPUT_MARK}|${ANGLE_MARK}`, "giu"), new RegExp(SQUARE_MARK, "gu")];

/** Puts a backslash into every such mark: people and models still read it, and it is a mark no more. */
export function escapeInput(content: string): string {
  const folded = fold(content);
  const found = MARKS.flatMap((marks) => [...folded.text.matchAll(marks)].map(({ index }) => index));
  if (found.length === 0) return content;
  const afterOpening = folded.placesOf(found.toSorted((a, b) => a - b)).map((place) => place + 1);
  return [0, ...afterOpening].map((from, index) => content.slice(from, afterOpening[index])).join("\\");
}

// A text as it reads once compatibility forms are plain (`ｉ` is `i`) and what cannot be seen is gone, for finding in it what
// somebody spelt to be overlooked. Pure, and linear in its length.
// White space is none of these, and stays.
const FOLDABLE = /[\p{Default_Ignorable_Code_Point}\p{Cf}]|(?![\0-\x7f])\p{Changes_When_NFKC_Casefolded}/gu;
const INVISIBLE = /^[\p{Default_Ignorable_Code_Point}\p{Cf}]/u;

export type Folded = {
  text: string;
  /** Where letters of it stand in the text it was made of; both in rising order. */
  placesOf(indexes: readonly number[]): number[];
};

export function fold(text: string): Folded {
  let folded = "";
  let copied = 0;
  // From `at` on, a letter's place in the text is its index and `by`.
  const shifts = [{ at: 0, by: 0 }];
  for (const { 0: found, index } of text.matchAll(FOLDABLE)) {
    const plain = INVISIBLE.test(found) ? "" : found.normalize("NFKC");
    if (plain === found) continue;
    folded += text.slice(copied, index) + plain;
    copied = index + found.length;
    shifts.push({ at: folded.length, by: copied - folded.length });
  }
  folded += text.slice(copied);
  return { text: folded, placesOf: (indexes) => shifted(indexes, shifts) };
}

function shifted(indexes: readonly number[], shifts: readonly { at: number; by: number }[]): number[] {
  let next = 0;
  return indexes.map((index) => {
    while (next + 1 < shifts.length && shifts[next + 1]!.at <= index) next += 1;
    return index + shifts[next]!.by;
  });
}
