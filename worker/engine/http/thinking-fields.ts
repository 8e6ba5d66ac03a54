// How much a chat may think before it answers, of the three ways in which clients say it.
import { z } from "zod";

/** Tokens for each of OpenAI's efforts. One-shot jobs think nothing unless they ask for it. */
const BUDGETS = { none: 0, minimal: 0, low: 512, medium: 2_048, high: 8_192 } as const;

export const thinkingFields = {
  reasoning_effort: z
    .enum(["none", "minimal", "low", "medium", "high"], {
      error: "must be none, minimal, low, medium or high",
    })
    .nullish(),
  thinking_budget: z.int().min(0).max(1_000_000).nullish(),
  chat_template_kwargs: z.looseObject({ enable_thinking: z.boolean().nullish() }).nullish(),
};
type ThinkingFields = z.output<z.ZodObject<typeof thinkingFields>>;

/** Tokens. Who forbids it is obeyed first; a number goes before a word, a word before a mere yes. */
export function thinkingBudgetOf(fields: ThinkingFields): number {
  const enabled = fields.chat_template_kwargs?.enable_thinking ?? undefined;
  if (enabled === false) return 0;
  if (fields.thinking_budget != null) return fields.thinking_budget;
  if (fields.reasoning_effort != null) return BUDGETS[fields.reasoning_effort];
  return enabled ? BUDGETS.medium : 0;
}
