// One question to the demo model over an engine's HTTP API, as the worker would ask it.
import type { Message } from "../../worker/model/prompt.ts";

export type Wish = {
  /** The answer is JSON that fits this. */
  schema?: Record<string, unknown>;
  /** The answer is the most probable of these. For the demo model, the first token of an option tells which one it is. */
  options?: readonly string[];
};
export type Answer = (messages: Message[], wish?: Wish) => Promise<string>;

const MAX_TOKENS = 400;
const TOP = 20;

type Completion = {
  choices: {
    message: { content: string };
    logprobs?: { content: { top_logprobs: { token: string; logprob: number }[] }[] };
  }[];
};

export function overHttp(url: string): Answer {
  const endpoint = `${url.replace(/\/+$/, "").replace(/\/v1$/, "")}/v1/chat/completions`;
  return async (messages, { schema, options } = {}) => {
    const body = {
      messages,
      temperature: 0,
      max_tokens: options ? 1 : MAX_TOKENS,
      ...(options && { logprobs: true, top_logprobs: TOP }),
      ...(schema && {
        response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
      }),
    };
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${endpoint}: ${response.status} ${await response.text()}`);
    const { message, logprobs } = ((await response.json()) as Completion).choices[0]!;
    return options ? likeliest(logprobs?.content[0]?.top_logprobs ?? [], options) : message.content;
  };
}

function likeliest(
  tokens: readonly { token: string; logprob: number }[],
  options: readonly string[],
): string {
  const begins = (option: string, token: string) => token !== "" && option.startsWith(token);
  const of = (option: string) => tokens.find(({ token }) => begins(option, token))?.logprob ?? -Infinity;
  return options.reduce((best, option) => (of(option) > of(best) ? option : best));
}
