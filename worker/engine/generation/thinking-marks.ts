// How a model writes its thinking down: the marks around it, found in its chat template's source, and the text that opens or
// closes it in a prompt. Pure; who draws tokens decides what to do at a mark.
import type { Thinking } from "./backend.ts";

/** `open` stands before the thinking and `close` after it. */
export type ThinkingMarks = { open: string; close: string };
type Family = ThinkingMarks & {
  /** What shows in a template that its model is of this family. */
  signs: readonly string[];
  /** White space or more that the family writes around the thinking, and before the answer. */
  before: string;
  after: string;
  answer: string;
};

const tags = (open: string, close: string): Family => {
  return { open, close, signs: [open, close], before: "\n", after: "\n", answer: "\n\n" };
};
// The first whose signs are all there. A closing mark alone is no sign: templates take it out of models that never think.
const FAMILIES: readonly Family[] = [
  {
    open: "<|channel|>analysis<|message|>",
    close: "<|end|>",
    signs: ["<|channel|>analysis", "<|channel|>final"],
    before: "",
    after: "",
    answer: "<|start|>assistant<|channel|>final<|message|>",
  },
  {
    open: "<|channel>thought",
    close: "<channel|>",
    signs: ["<|channel>thought", "<channel|>"],
    before: "\n",
    after: "\n",
    answer: "",
  },
  tags("<think>", "</think>"),
  tags("<seed:think>", "</seed:think>"),
  tags("<thinking>", "</thinking>"),
  { ...tags("[THINK]", "[/THINK]"), before: "", after: "", answer: "" },
  tags("<|START_THINKING|>", "<|END_THINKING|>"),
];

/** Undefined for a template whose model does not think before it answers. */
export function thinkingMarks(template: string): ThinkingMarks | undefined {
  const family = FAMILIES.find(({ signs }) => signs.every((sign) => template.includes(sign)));
  return family && { open: family.open, close: family.close };
}

/**
 * What a prompt rendered with thinking switched on still needs at its end so that the answer begins as wanted: inside of the
 * thinking, or after `thought`, in which the caller has broken up special spellings.
 */
export function thinkingEnd(
  rendered: string,
  marks: ThinkingMarks,
  thinking: Exclude<Thinking, "off">,
): string {
  const { before, after, answer } = FAMILIES.find(({ open }) => open === marks.open) ?? tags("", "");
  const isOpen = rendered.trimEnd().endsWith(marks.open);
  const opening = isOpen ? "" : marks.open + before;
  if (thinking === "open") return opening;
  const inside = isOpen && !rendered.endsWith(marks.open + before) ? before : "";
  return opening + inside + thinking.thought.trim() + after + marks.close + answer;
}
