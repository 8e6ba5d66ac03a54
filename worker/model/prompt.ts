// How a question becomes chat messages. Text from outside stands between <input> and </input>; it can neither close that block
// nor contain the special marks of a chat template. Instructions cannot contain such marks either: some kinds let the sender write
// them. Pure.
import type { Question } from "../job/handler.ts";
import { marksIn } from "../job/template-marks.ts";

export type Part = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };
export type Message = { role: "system" | "user" | "assistant"; content: string | Part[] };

export const hasPictures = (messages: readonly Message[]): boolean =>
  messages.some(
    ({ content }) => typeof content !== "string" && content.some(({ type }) => type === "image_url"),
  );

/** The instructions come first, so that jobs of one kind share the beginning of their prompt. */
export function messagesOf({ instructions, content, image }: Question): Message[] {
  const text = `<input>\n${escapeInput(content)}\n</input>`;
  const user: Message["content"] = image
    ? [
        { type: "image_url", image_url: { url: image.dataUri } },
        { type: "text", text },
      ]
    : text;
  return [
    { role: "system", content: escapeMarks(instructions) },
    { role: "user", content: user },
  ];
}

/** The schema may hold text from outside, so it must not close the prompt's own block. */
export const schemaInWords = (schema: Record<string, unknown>): string =>
  `Answer with JSON and nothing else. It has to fit this JSON schema: ${escapeInput(JSON.stringify(schema))}`;
// More options than this in a row of whole numbers are written as "1 to 12".
const MAX_NUMBERS = 8;
/** What can stand in a list with commas without being misread. */
const PLAIN_OPTION = /^[^\s,.;:"']+$/u;

/**
 * Instructions that name the options to choose from. They stand at the end of the instructions and not beside the input, so that
 * decisions of one kind share the beginning of their prompt.
 */
export function withOptions(instructions: string, options: readonly string[]): string {
  if (!options.every((option) => PLAIN_OPTION.test(option))) {
    const lines = options.map((option) => `- ${escapeInput(option.replaceAll(/\s+/g, " "))}`);
    return `${instructions}\nAnswer with one of these and nothing else:\n${lines.join("\n")}`;
  }
  const list = numbersJoined(options).map(escapeInput).join(", ");
  return `${instructions}\nAnswer with one of these and nothing else: ${list}`;
}

/** A todo list may have five hundred numbers. Written out they would cost more than the list. */
function numbersJoined(options: readonly string[]): string[] {
  const first = options.findIndex((option) => /^\d{1,9}$/.test(option));
  if (first < 0) return [...options];
  const from = Number(options[first]);
  const after = options.findIndex((option, at) => at > first && option !== String(from + at - first));
  const end = after < 0 ? options.length : after;
  if (options[first] !== String(from) || end - first <= MAX_NUMBERS) return [...options];
  return [...options.slice(0, first), `${from} to ${from + end - first - 1}`, ...options.slice(end)];
}

// A model also reads `< i n p u t >` and other characters that look like a bracket as our mark, so both count.
const INPUT_MARK = new RegExp(
  String.raw`[<‹⟨〈❬❮❰](?=\s*(?:[/⁄∕⧸]\s*)?${[..."input"].join(String.raw`\s*`)}(?![\p{L}\p{N}]))`,
  "giu",
);
const inputMarksIn = (text: string) => [...text.matchAll(INPUT_MARK)].map(({ index }) => index);

/** Puts a backslash into every mark: people and models can still read it, but it has no effect any more. */
export const escapeInput = (content: string): string =>
  escapeAt(content, (folded) => [...new Set([...marksIn(folded), ...inputMarksIn(folded)])]);

/** For instructions, which stand outside of the block and may speak of it. */
export const escapeMarks = (instructions: string): string => escapeAt(instructions, marksIn);

/** `find` gets the text as a reader sees it, so that a mark in disguise is found. */
function escapeAt(content: string, find: (folded: string) => readonly number[]): string {
  const folded = fold(content);
  const found = find(folded.text).toSorted((a, b) => a - b);
  if (found.length === 0) return content;
  const afterOpening = folded.placesOf(found).map((place) => place + 1);
  return [0, ...afterOpening].map((from, index) => content.slice(from, afterOpening[index])).join("\\");
}

// What folding changes: letters in another form (`ｉ` is read as `i`) and characters that cannot be seen. White space stays.
const FOLDABLE = /[\p{Default_Ignorable_Code_Point}\p{Cf}]|(?![\0-\x7f])\p{Changes_When_NFKC_Casefolded}/gu;
const INVISIBLE = /^[\p{Default_Ignorable_Code_Point}\p{Cf}]/u;

type Folded = {
  text: string;
  /** Where characters of the folded text were in the original text. Indexes must rise, and so do the results. */
  placesOf(indexes: readonly number[]): number[];
};

/** The text as a reader sees it, so that a mark in disguise is found. Takes time in proportion to the text's length. */
function fold(text: string): Folded {
  let folded = "";
  let copied = 0;
  // From `at` on, a character's place in the original is its index plus `by`.
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
