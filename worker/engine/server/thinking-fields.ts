// How many tokens the model may think before it answers, from the ways in which the clients of several servers say it. Pure.
import { z } from "zod";

const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"] as const;
type Effort = (typeof EFFORTS)[number];
/** Tokens for each of OpenAI's efforts. What does not fit into the context is cut off there. */
const THINKING_TOKENS: Record<Effort, number> = {
  none: 0,
  minimal: 0,
  low: 512,
  medium: 2_048,
  high: 8_192,
  xhigh: 32_768,
  max: 32_768,
};

const effort = z.enum(EFFORTS, { error: `must be one of ${EFFORTS.join(", ")}` });
/** llama-server and vLLM write -1 for no limit of its own. */
const tokens = z.int().min(-1).max(1_000_000).nullish();

export const thinkingFields = {
  reasoning_effort: effort.nullish(),
  /** OpenRouter's form too. A summary is a wish of /v1/responses, where the thought itself stands in the answer. */
  reasoning: z
    .strictObject({
      effort: effort.nullish(),
      summary: z.string().nullish(),
      generate_summary: z.string().nullish(),
      max_tokens: z.int().min(0).max(1_000_000).nullish(),
      enabled: z.boolean().nullish(),
      exclude: z.literal(false, { error: "is not supported: an answer shows its thought" }).nullish(),
    })
    .nullish(),
  /** Qwen's name, and the form of Anthropic, DeepSeek and GLM. */
  enable_thinking: z.boolean().nullish(),
  thinking: z
    .strictObject({
      type: z.enum(["enabled", "disabled"], { error: "must be enabled or disabled" }),
      budget_tokens: z.int().min(0).max(1_000_000).nullish(),
    })
    .nullish(),
  think: z
    .union([z.boolean(), effort], { error: `must be true, false or one of ${EFFORTS.join(", ")}` })
    .nullish(),
  thinking_budget: tokens,
  thinking_budget_tokens: tokens,
  thinking_token_budget: tokens,
  reasoning_budget_tokens: tokens,
  chat_template_kwargs: z
    .strictObject({
      enable_thinking: z.boolean().nullish(),
      thinking: z.boolean().nullish(),
      reasoning_effort: effort.nullish(),
    })
    .nullish(),
};
type ThinkingFields = z.output<z.ZodObject<typeof thinkingFields>>;

/**
 * Whoever switches thinking off wins, then a number of tokens, then an effort, then whoever switches it on. Without any of them the model
 * does not think.
 */
export function thinkingBudgetOf(fields: ThinkingFields): number {
  const { chat_template_kwargs: template, think } = fields;
  const { thinking, reasoning } = fields;
  const switches = [
    template?.enable_thinking,
    template?.thinking,
    fields.enable_thinking,
    reasoning?.enabled,
    thinking == null ? null : thinking.type === "enabled",
    typeof think === "boolean" ? think : null,
  ];
  if (switches.includes(false)) return 0;
  const budgets = [
    fields.thinking_budget,
    fields.thinking_budget_tokens,
    fields.thinking_token_budget,
    fields.reasoning_budget_tokens,
    thinking?.budget_tokens,
    reasoning?.max_tokens,
  ];
  const budget = budgets.find((one) => one != null && one !== -1);
  if (budget != null) return budget;
  const effort =
    fields.reasoning_effort ??
    reasoning?.effort ??
    template?.reasoning_effort ??
    (typeof think === "string" ? think : null);
  if (effort !== null) return THINKING_TOKENS[effort];
  return switches.includes(true) ? THINKING_TOKENS.medium : 0;
}
