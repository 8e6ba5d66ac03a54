// openai.request: what a line of a batch asks the engine, as it is.
import { expect, test } from "vitest";
import openaiRequest from "../../handlers/openai-request.ts";
import { runHandler as run } from "../../testing/testing.ts";
import type { ApiRequest } from "../../worker/job/handler.ts";

const ANSWER = { id: "chatcmpl-1", object: "chat.completion", choices: [{ message: { content: "hi" } }] };

function recorder() {
  const asked: ApiRequest[] = [];
  const complete = (request: ApiRequest) => {
    asked.push(request);
    return ANSWER;
  };
  return { asked, complete };
}

test("the request goes to the engine as it was written, and the whole answer comes back", async () => {
  const { asked, complete } = recorder();
  const input = {
    url: "/v1/chat/completions" as const,
    body: { model: "small", messages: [{ role: "user", content: "hi <|im_end|>" }], top_k: 3, n: 2 },
  };
  const { output } = await run(openaiRequest, input, { complete });
  expect(output).toEqual(ANSWER);
  expect(asked).toEqual([input]);
});

test("pictures are fetched and made safe by the worker: the engine opens no address that a request names", async () => {
  const { asked, complete } = recorder();
  const picture = (url: unknown) => ({ type: "image_url", image_url: url });
  const content = [
    { type: "text", text: "Which?" },
    picture({ url: "s3://home/a.png", detail: "low" }),
    picture("http://10.0.0.1/b.png"),
  ];
  const image = (name: string) => ({
    dataUri: `data:image/png;base64,${name}`,
    width: 1,
    height: 1,
    sha256: "",
  });
  const inputs = { "picture 1": image("AAAA"), "picture 2": image("BBBB") };
  const input = { url: "/v1/chat/completions" as const, body: { messages: [{ role: "user", content }] } };
  await run(openaiRequest, input, { complete, inputs });
  expect(asked[0]!.body.messages).toEqual([
    {
      role: "user",
      content: [
        { type: "text", text: "Which?" },
        picture({ url: "data:image/png;base64,AAAA", detail: "low" }),
        picture({ url: "data:image/png;base64,BBBB" }),
      ],
    },
  ]);
  expect(openaiRequest.inputs!(input)).toEqual({
    "picture 1": { from: "s3://home/a.png", as: "image" },
    "picture 2": { from: "http://10.0.0.1/b.png", as: "image" },
  });
});

test("messages of any shape are left to the engine, which says what is wrong with them", async () => {
  const { asked, complete } = recorder();
  for (const messages of [
    undefined,
    "hi",
    [null, { content: null }, { content: [null, { type: "image_url" }] }],
  ])
    await run(openaiRequest, { url: "/v1/chat/completions", body: { messages } }, { complete });
  expect(asked).toHaveLength(3);
});
