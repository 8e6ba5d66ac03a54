// One question to the demo model: by llama.node in a process of its own, or over an engine's HTTP API. Both answer alike.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Message } from "../../worker/model/prompt.ts";

export type Wish = {
  /** The answer is JSON that fits this. */
  schema?: Record<string, unknown>;
  /** The answer is the likeliest of these; every option of the demo model is one token. */
  options?: readonly string[];
};
export type Respondent = {
  answer(messages: Message[], wish?: Wish): Promise<string>;
  close(): Promise<void>;
};

export const MAX_TOKENS = 400;
const TOP = 20;

export type ChildRequest = { messages: Message[]; wish: Wish };
export type ChildReply = { answer: string } | { error: string };

/** llama.node writes its log to both outputs and cannot be told not to; a child's outputs can be closed. */
export function overLlamaNode(model: string, projector: string): Respondent {
  const child = fork(fileURLToPath(new URL("llama-node-child.ts", import.meta.url)), [model, projector], {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
  const gone = once(child, "exit").then(([code]) => {
    throw new Error(`llama.node's process ended with ${code}`);
  });
  gone.catch(() => {});
  return {
    async answer(messages, wish = {}) {
      const replied = once(child, "message");
      child.send({ messages, wish } satisfies ChildRequest);
      const [reply] = (await Promise.race([replied, gone])) as [ChildReply];
      if ("error" in reply) throw new Error(reply.error);
      return reply.answer;
    },
    async close() {
      child.disconnect();
      await gone.catch(() => {});
    },
  };
}

type Completion = {
  choices: {
    message: { content: string };
    logprobs?: { content: { top_logprobs: { token: string; logprob: number }[] }[] };
  }[];
};

export function overHttp(url: string): Respondent {
  const endpoint = `${url.replace(/\/+$/, "").replace(/\/v1$/, "")}/v1/chat/completions`;
  return {
    async answer(messages, { schema, options } = {}) {
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
    },
    close: async () => {},
  };
}

function likeliest(
  tokens: readonly { token: string; logprob: number }[],
  options: readonly string[],
): string {
  const of = (option: string) => tokens.find(({ token }) => token === option)?.logprob ?? -Infinity;
  return options.reduce((best, option) => (of(option) > of(best) ? option : best));
}
