// What one message may cost at most. The owner of the worker sets these figures, and no sender can raise them. What is counted
// against them is left to the code that spends it: the model, the runner and the parser. Pure.
import { KamadoError } from "../errors.ts";

/** What is bounded, in words, and the variable that raises it. */
const BUDGETS = {
  /** Repairs and the second look of a decision count too; a request that a busy engine refuses and gets again counts once. */
  requests: ["requests to the model", "KAMADO_MAX_JOB_REQUESTS"],
  /** Of prompts and answers. Cached ones count: a job must not fit or fail by what other jobs left in the cache. */
  tokens: ["tokens of prompts and answers", "KAMADO_MAX_JOB_TOKENS"],
  /** What `policy.timeoutSeconds` may ask for. */
  seconds: ["policy.timeoutSeconds", "KAMADO_MAX_JOB_SECONDS"],
  /** Pictures and texts that are fetched, and the bytes of all of them. */
  inputs: ["inputs", "KAMADO_MAX_JOB_INPUTS"],
  inputBytes: ["bytes of inputs", "KAMADO_MAX_JOB_INPUT_BYTES"],
  /** Of the output as JSON. */
  resultBytes: ["bytes of output", "KAMADO_MAX_JOB_RESULT_BYTES"],
  destinations: ["destinations", "KAMADO_MAX_JOB_DESTINATIONS"],
  /** Each record of an S3 event becomes a job. */
  records: ["records of one event", "KAMADO_MAX_EVENT_RECORDS"],
} as const satisfies Record<string, readonly [what: string, variable: string]>;

export type Budgets = { readonly [B in keyof typeof BUDGETS]: number };

/** The variables that set the budgets. */
export const BUDGET_VARIABLES: readonly string[] = Object.values(BUDGETS).map(([, variable]) => variable);

/** `needed` says how much it would take: `1,001 or more`, or what was used and what comes on top. */
export function budgetExceeded(
  budget: keyof Budgets,
  limit: number,
  needed: number | string,
  cause?: unknown,
): KamadoError {
  const [what, variable] = BUDGETS[budget];
  const text = `${what}: it needs ${needed}; the budget is ${limit}. ${variable} raises it.`;
  return new KamadoError("budget_exceeded", text, { cause });
}
