// Messages as different clients write them.
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import type { Generation } from "../../../worker/engine/generation/backend.ts";
import { chatMessages, messagesOf } from "../../../worker/engine/server/messages.ts";
import { post, user } from "../running.ts";
import { recorder, start } from "./start.ts";

async function seen(messages: object[]): Promise<Generation["prompt"] & { messages: unknown }> {
  const engine = await recorder();
  const { status, body } = await post(engine.url, JSON.stringify({ messages }));
  expect(body.error).toBeUndefined();
  expect(status).toBe(200);
  const { prompt } = engine.seen[0]!;
  if ("text" in prompt) throw new Error("a plain text");
  return prompt;
}

const text = (text: string) => ({ type: "text", text });

describe("content", () => {
  test.each([
    ["null", null, []],
    ["nothing", undefined, []],
    ["an empty list", [], []],
    ["a text", "a", [text("a")]],
    ["texts in a list", ["a", "b"], [text("a"), text("b")]],
    ["text parts", [text("a")], [text("a")]],
    [
      "parts of /v1/responses",
      [
        { type: "input_text", text: "a" },
        { type: "output_text", text: "b" },
      ],
      [text("a"), text("b")],
    ],
    ["a refusal", [{ type: "refusal", refusal: "No." }], [text("No.")]],
    ["one part alone", text("a"), [text("a")]],
    ["a list with null in it", [null, text("a")], [text("a")]],
    ["a part whose text is null", [{ type: "text", text: null }, text("a")], [text(""), text("a")]],
    ["an answer with its thought", [{ type: "thinking", thinking: "Hm." }, text("a")], [text("a")]],
    ["an answer with its reasoning", [{ type: "reasoning", text: "Hm." }, text("a")], [text("a")]],
    ["a part without a type", [{ text: "a" }], [text("a")]],
    ["a part with more fields", [{ ...text("a"), cache_control: { type: "ephemeral" } }], [text("a")]],
  ])("may be %s", async (_, content, parts) => {
    const { messages } = await seen([...user("x"), { role: "assistant", content }, ...user("y")]);
    expect(messages).toEqual([
      { role: "user", parts: [text("x")] },
      { role: "assistant", parts },
      { role: "user", parts: [text("y")] },
    ]);
  });

  test("of case 24 of the reports: null in a history", async () => {
    const { url } = await start();
    const messages = [...user("Title:"), { role: "assistant", content: null }, ...user("call mum")];
    expect((await post(url, JSON.stringify({ messages }))).body.choices[0].message.content).toBe("call mum");
  });
});

test("a role may be written with capitals", async () => {
  const { messages } = await seen([{ role: "User", content: "x" }]);
  expect(messages).toEqual([{ role: "user", parts: [text("x")] }]);
});

test.each([
  ["prefix", { role: "assistant", content: "The answer is", prefix: true }],
  ["partial", { role: "assistant", content: "The answer is", partial: true }],
  ["audio", { role: "assistant", content: null, audio: { id: "a" } }],
  ["images", { role: "user", content: "x", images: "iVBORw0KGgo=" }],
])("the wish %s of a message is refused by name", async (name, message) => {
  const { url } = await start();
  const { status, body } = await post(url, JSON.stringify({ messages: [...user("x"), message] }));
  expect([status, body.error.param]).toEqual([400, `messages.1.${name}`]);
});

test("Ollama's pictures stand before the text, and its name of a tool is read", () => {
  const [question, result] = messagesOf([
    { role: "user", content: "What is it?", images: ["aGFsbG8="] },
    { role: "tool", content: "5", tool_name: "weather" },
  ]);
  expect(question!.parts).toMatchObject([
    { type: "given", param: "messages.0.images.0.image" },
    text("What is it?"),
  ]);
  expect(result).toMatchObject({ role: "tool", name: "weather" });
});

const called = { role: "assistant", tool_calls: [{ id: "1", function: { name: "look", arguments: "{}" } }] };
test.each([
  ["a value", { temp: 3 }, '{"temp":3}'],
  ["a number", 42, "42"],
  ["a list of values", [{ temp: 3 }, 4], '[{"temp":3},4]'],
  ["false", false, "false"],
  ["parts", [{ type: "text", text: "dry" }], "dry"],
])("a tool may give back %s", (_, content, expected) => {
  const given = chatMessages.parse([...user("x"), called, { role: "tool", tool_call_id: "1", content }]);
  expect(messagesOf(given)[2]).toMatchObject({ role: "tool", parts: [text(expected)] });
});

test("pictures of tools are shown by the user, after all results and before what the user says next", () => {
  const image_url = { url: "data:image/png;base64,aGVsbG8=" };
  const result = (id: string) => {
    return {
      role: "tool",
      tool_call_id: id,
      content: [
        { type: "text", text: id },
        { type: "image_url", image_url },
      ],
    };
  };
  const shape = (more: object[]) =>
    messagesOf([...user("x"), called, result("1"), result("2"), ...more] as never).map(
      ({ role, parts }) => `${role}: ${parts.map((part) => (part.type === "text" ? part.text : "picture"))}`,
    );
  const before = ["user: x", "assistant: ", "tool: 1", "tool: 2"];
  expect(shape([])).toEqual([...before, "user: picture,picture"]);
  expect(shape(user("y"))).toEqual([...before, "user: picture,picture,y"]);
  const assistant = { role: "assistant", content: "I see." };
  expect(shape([assistant])).toEqual([...before, "user: picture,picture", "assistant: I see."]);
});

test("calls and their results are read in all their forms", () => {
  const calls = [
    { id: "1", type: "function" as const, function: { name: "a", arguments: '{"b":1}' } },
    { id: "2", function: { name: "c", arguments: { d: 2 } } },
    { type: "" as const, function: { name: "e" } },
  ];
  const messages = messagesOf([
    { role: "assistant", tool_calls: calls },
    { role: "tool", tool_call_id: "2", content: [text("two")] },
    { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" }, tool_calls: null },
    { role: "function", name: "f", content: "old" },
    { role: "developer", content: "Be brief.", name: "owner" },
  ]);
  expect(messages).toEqual([
    {
      role: "assistant",
      parts: [],
      toolCalls: [
        { id: "1", name: "a", arguments: '{"b":1}' },
        { id: "2", name: "c", arguments: '{"d":2}' },
        { id: "call_0_2", name: "e", arguments: "{}" },
      ],
    },
    { role: "tool", parts: [text("two")], toolCallId: "2", name: "c" },
    { role: "assistant", parts: [], toolCalls: [{ id: "call_2_0", name: "f", arguments: "{}" }] },
    { role: "tool", parts: [text("old")], name: "f" },
    { role: "system", parts: [text("Be brief.")], name: "owner" },
  ]);
});

describe("a picture", () => {
  const whole = async () =>
    (
      await sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
        .png()
        .toBuffer()
    ).toString("base64");
  test.each<[string, (base64: string) => object]>([
    [
      "image_url as an object",
      (one) => ({ type: "image_url", image_url: { url: `data:image/png;base64,${one}` } }),
    ],
    ["image_url as a text", (one) => ({ type: "image_url", image_url: `data:image/png;base64,${one}` })],
    [
      "input_image",
      (one) => ({ type: "input_image", image_url: `data:image/png;base64,${one}`, detail: "auto" }),
    ],
    ["image", (one) => ({ type: "image", image: `data:image/png;base64,${one}` })],
    [
      "image with a source",
      (one) => ({ type: "image", source: { type: "base64", media_type: "image/png", data: one } }),
    ],
    ["image with its bytes", (one) => ({ type: "image", data: one, mimeType: "image/png" })],
    [
      "percent-encoded",
      (one) => ({ type: "image_url", image_url: `data:image/png;base64,${encodeURIComponent(one)}` }),
    ],
    ["without a media type", (one) => ({ type: "image_url", image_url: `DATA:;BASE64,${one}` })],
    [
      "with parameters",
      (one) => ({ type: "image_url", image_url: `data:image/png;name=a.png;base64,${one}` }),
    ],
    [
      "with line ends",
      (one) => ({
        type: "image_url",
        image_url: `data:image/png;base64,${one.slice(0, 20)}\r\n${one.slice(20)}`,
      }),
    ],
  ])("may come as %s", async (_, part) => {
    const { url } = await start({ rules: [{ when: "<image ", answer: "seen" }] });
    const messages = [{ role: "user", content: [part(await whole())] }];
    const { body } = await post(url, JSON.stringify({ messages }));
    expect(body.choices?.[0].message.content).toBe("seen");
  });
});

describe("what cannot be read is refused by name", () => {
  test.each([
    ["input_audio", { type: "input_audio", input_audio: { data: "", format: "wav" } }, ""],
    ["file", { type: "file", file: { file_id: "f" } }, ""],
    ["input_file", { type: "input_file", file_id: "f" }, ""],
    ["video_url", { type: "video_url", video_url: { url: "" } }, ""],
    ["without a type", { content: "a" }, ""],
    ["file_id", { type: "input_image", file_id: "f" }, ".file_id"],
    ["data: URI", { type: "image_url", image_url: { url: "https://example.com/a.png" } }, ".image_url"],
    ["data: URI", { type: "image_url", image_url: {} }, ".image_url"],
    ["must be a text", { type: "text", text: 5 }, ".text"],
  ])("%s", async (named, part, at) => {
    const { url } = await start();
    const { status, body } = await post(
      url,
      JSON.stringify({ messages: [{ role: "user", content: [part] }] }),
    );
    expect([status, body.error.param]).toEqual([400, `messages.0.content.0${at}`]);
    expect(body.error.message).toContain(named);
  });

  test("a role, and the roles that there are", async () => {
    const { url } = await start();
    const { body } = await post(url, JSON.stringify({ messages: [{ role: "robot", content: "x" }] }));
    expect(body.error).toMatchObject({ code: "invalid_value", param: "messages.0.role" });
    expect(body.error.message).toMatch(/"robot".*assistant/);
  });

  test("a picture in a message of neither a user nor a tool", async () => {
    const { url } = await start();
    const content = [{ type: "image_url", image_url: "data:;base64,AAAA" }];
    const { body } = await post(url, JSON.stringify({ messages: [{ role: "assistant", content }] }));
    expect(body.error.message).toContain("only messages of users and tools");
  });
});
