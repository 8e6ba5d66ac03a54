// How a model marks its thinking: which marks it uses, found in the source of its chat template, and the text that opens or closes
// the thinking in a prompt. Pure; the backends end the thinking at its closing mark.
import type { Thinking } from "./backend.ts";

/** `open` stands before the thinking and `close` after it. */
export type ThinkingMarks = { open: string; close: string };
type Family = ThinkingMarks & {
  /** Texts that a template of this family contains. */
  signs: readonly string[];
  /** What the family writes before and after the thinking, and before the answer. */
  before: string;
  after: string;
  answer: string;
};

const tags = (open: string, close: string): Family => {
  return { open, close, signs: [open, close], before: "\n", after: "\n", answer: "\n\n" };
};
// The first family matches whose signs are all in the template. A closing mark alone is not enough: templates of models that do not
// think contain it to remove it from messages.
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

/** Undefined when the model does not think before it answers. */
export function thinkingMarks(template: string): ThinkingMarks | undefined {
  const family = FAMILIES.find(({ signs }) => signs.every((sign) => template.includes(sign)));
  return family && { open: family.open, close: family.close };
}

/**
 * The text to add to a prompt that was rendered with thinking switched on, so that the answer begins with the thinking, or after
 * `thought`. The caller has made the special spellings in `thought` harmless.
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
