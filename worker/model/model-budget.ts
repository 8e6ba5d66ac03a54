// What one run of a job may spend on the model: requests and tokens. Requests count when the handler asks, so a job that asks for
// too many at once is refused before it has bought anything. Tokens are reserved before a request is sent and settled when its
// answer is there, so requests that run at the same time cannot spend the same tokens twice.
import { type Budgets, budgetExceeded } from "../job/budgets.ts";
import { tokensIn } from "../job/tokens.ts";
import type { ChatAnswer } from "./engine-answer.ts";
import type { ChatRequest } from "./engine-client.ts";

type Limits = Pick<Budgets, "requests" | "tokens">;
type Spent = Pick<ChatAnswer, "promptTokens" | "completionTokens" | "text">;

export class ModelBudget {
  readonly #limits: Limits;
  #asked = 0;
  #spent = 0;
  #reserved = 0;
  #settled = Promise.withResolvers<void>();
  #exceeded: Error | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Throws once the budget is exceeded: from then on the job gets nothing more. */
  check(): void {
    if (this.#exceeded) throw this.#exceeded;
  }

  /** Counts a request that the handler asks for. Throws `budget_exceeded`. */
  ask(): void {
    this.check();
    this.#asked += 1;
    if (this.#asked > this.#limits.requests)
      this.#exceed(budgetExceeded("requests", this.#limits.requests, `${this.#asked} or more`));
  }

  /**
   * Sends a request within the budget. If other requests hold the tokens that it may need, it waits for what they give back.
   * Throws `budget_exceeded` when nothing more can come back.
   */
  async spend<A extends Spent>(
    request: Pick<ChatRequest, "messages" | "max_tokens">,
    send: () => Promise<A>,
  ): Promise<A> {
    const prompt = promptTokens(request);
    const reserved = prompt + request.max_tokens;
    await this.#reserve(reserved);
    try {
      const answer = await send();
      this.#spent += spentOn(answer, prompt);
      return answer;
    } finally {
      this.#reserved -= reserved;
      this.#settled.resolve();
      this.#settled = Promise.withResolvers();
    }
  }

  async #reserve(tokens: number): Promise<void> {
    for (;;) {
      this.check();
      if (this.#spent + this.#reserved + tokens <= this.#limits.tokens) break;
      if (this.#reserved === 0)
        this.#exceed(
          budgetExceeded("tokens", this.#limits.tokens, `${this.#spent} so far and up to ${tokens} more`),
        );
      await this.#settled.promise;
    }
    this.#reserved += tokens;
  }

  #exceed(error: Error): never {
    this.#exceeded = error;
    throw error;
  }
}

/** What a picture takes of a prompt: more than most models need. */
const TOKENS_PER_PICTURE = 1_024;

/** An estimate, because only the engine knows the tokens of its model. Its own count replaces it when the answer is there. */
export function promptTokens({ messages }: Pick<ChatRequest, "messages">): number {
  const parts = messages.flatMap(({ content }) =>
    typeof content === "string" ? [{ type: "text" as const, text: content }] : content,
  );
  return parts.reduce(
    (sum, part) => sum + (part.type === "text" ? tokensIn(part.text) : TOKENS_PER_PICTURE),
    0,
  );
}

/** As the engine counts it. Some engines do not; for them the estimate stands. */
function spentOn({ promptTokens, completionTokens, text }: Spent, estimate: number): number {
  return (promptTokens || estimate) + (completionTokens || tokensIn(text));
}
