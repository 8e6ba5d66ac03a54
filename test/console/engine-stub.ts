// A server with OpenAI's API and two models, whose answers a test lets go one by one.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export const MODELS = ["door-small", "door-large"];
const PROBABILITIES: Record<string, number> = { "door-small": 0.93, "door-large": 0.81 };

type Asked = { model?: string; stream?: boolean; logprobs?: boolean };

export async function startEngineStub() {
  let held: PromiseWithResolvers<void> | undefined;
  const server = createServer(async (request, response) => {
    if (request.url === "/v1/models")
      return send(response, { data: MODELS.map((id) => ({ id, object: "model", owned_by: "stub" })) });
    if (request.url !== "/v1/chat/completions") return response.writeHead(404).end("{}");
    const asked = (await json(request as IncomingMessage)) as Asked;
    if (!asked.stream) await held?.promise;
    return asked.stream ? stream(response, () => held?.promise) : send(response, answerTo(asked));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Answers wait until the function returned is called. */
    hold(): () => void {
      const mine = Promise.withResolvers<void>();
      held = mine;
      return () => {
        held = undefined;
        mine.resolve();
      };
    },
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const send = (response: ServerResponse, value: unknown) =>
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));

function answerTo({ model = MODELS[0]! }: Asked) {
  const yes = PROBABILITIES[model] ?? 0.5;
  const top = [
    { token: "y", logprob: Math.log(yes) },
    { token: "n", logprob: Math.log(1 - yes) },
  ];
  return {
    model,
    choices: [
      {
        message: { role: "assistant", content: "y" },
        finish_reason: "length",
        logprobs: { content: [{ ...top[0], top_logprobs: top }] },
      },
    ],
    usage: { prompt_tokens: 612, completion_tokens: 1 },
  };
}

async function stream(response: ServerResponse, held: () => Promise<void> | undefined): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const say = (delta: object, finish: string | null = null) =>
    response.write(`data: ${JSON.stringify({ choices: [{ delta, finish_reason: finish }] })}\n\n`);
  say({ content: "Good " });
  await held();
  say({ content: "morning." });
  say({}, "stop");
  response.end("data: [DONE]\n\n");
}
