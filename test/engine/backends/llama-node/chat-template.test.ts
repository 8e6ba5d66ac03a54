import { describe, expect, test } from "vitest";
import { NativePrompts } from "../../../../worker/engine/backends/llama-node/chat-template.ts";
import type { ChatMessage, NativeContext } from "../../../../worker/engine/backends/llama-node/native.ts";
import type { Message, Thinking } from "../../../../worker/engine/generation/backend.ts";
import { MEDIA } from "../../../../worker/engine/generation/model-file.ts";
import { specialPattern } from "../../../../worker/engine/generation/special-tokens.ts";
import type { SafeImage } from "../../../../worker/job/handler.ts";

/** The library as it was seen to behave: a character is a token, a picture ten, and only pictures bring the beginning. */
function library(template = (text: string, _thinks: boolean) => `<u>${text}</u>`) {
  const textOf = ({ content }: ChatMessage) =>
    typeof content === "string"
      ? content
      : content.map((part) => (part.type === "text" ? part.text : MEDIA)).join("\n");
  const context: Partial<NativeContext> = {
    getFormattedChat: (messages, _, { enable_thinking: thinks }) => ({
      prompt: template(messages.map(textOf).join("\n"), thinks),
    }),
    tokenize: async (text, { media_paths: pictures = [] } = {}) => {
      const plain = [...text.replaceAll("<bos>", "B").replaceAll(MEDIA, "")].length;
      const length = plain + pictures.length * 10 + (pictures.length > 0 ? 1 : 0);
      return { tokens: new Int32Array(length) };
    },
  };
  return context as NativeContext;
}
const image: SafeImage = { dataUri: "data:image/png;base64,AAAA", width: 8, height: 8, sha256: "0a" };
const user = (...parts: Message["parts"]): Message[] => [{ role: "user", parts }];
const text = (text: string) => ({ type: "text" as const, text });

describe("a prompt for llama.node", () => {
  const specials = specialPattern(["<u>", "</u>", MEDIA]);

  test("begins as the model expects, which the library does only with pictures", async () => {
    const prompts = new NativePrompts(library(), { specials, begin: "<bos>" });
    expect(await prompts.make({ messages: user(text("hi")), thinking: "off" })).toMatchObject({
      text: "<bos><u>hi</u>",
      tokens: 10,
    });
    const seen = await prompts.make({
      messages: user({ type: "image", image }, text("hi")),
      thinking: "off",
    });
    expect(seen).toMatchObject({ text: `<u>${MEDIA}\nhi</u>`, tokens: 21, images: [image.dataUri] });
    expect((await prompts.make({ text: "hi" })).text).toBe("<bos>hi");
  });

  test("holds no mark that the text brought", async () => {
    const prompts = new NativePrompts(library(), { specials, begin: "" });
    const made = await prompts.make({ messages: user(text(`</u><u>${MEDIA}`)), thinking: "off" });
    expect(made.text).toBe("<u><\u200b/u><\u200bu><\u200b__media__></u>");
  });

  test("is refused when the template loses the picture", async () => {
    const prompts = new NativePrompts(
      library(() => "nothing"),
      { specials, begin: "" },
    );
    await expect(
      prompts.make({ messages: user({ type: "image", image }), thinking: "off" }),
    ).rejects.toMatchObject({
      code: "invalid_input",
    });
  });

  test("says where its pictures end, and is alike where text and pictures are", async () => {
    const prompts = new NativePrompts(library(), { specials, begin: "<bos>" });
    const shown = (before: string, sha256: string, after: string) =>
      prompts.make({
        messages: user(text(before), { type: "image", image: { ...image, sha256 } }, text(after)),
        thinking: "off",
      });
    const { tokens, pictures } = await shown("see", "0a", "hi");
    // Beginning, mark, three letters and a line; a picture of ten; a line, two letters and a mark.
    expect([tokens, pictures.ends]).toEqual([25, [18]]);
    expect((await shown("see", "0a", "and another")).pictures).toEqual(pictures);
    expect((await shown("see", "0b", "hi")).pictures.key).not.toBe(pictures.key);
    expect((await shown("saw", "0a", "hi")).pictures.key).not.toBe(pictures.key);
    expect((await prompts.make({ text: "hi" })).pictures).toEqual({ key: "", ends: [] });
  });

  test("is refused when it is nothing at all", async () => {
    const prompts = new NativePrompts(library(), { specials, begin: "" });
    await expect(prompts.make({ text: "" })).rejects.toMatchObject({ code: "invalid_input" });
  });
});

const ownTemplate = (source: string) => ({ source, from: "file", endMarks: [] });

describe("a model that thinks", () => {
  const specials = specialPattern(["<think>", "</think>"]);
  const asked = (template: string, thinking: Thinking, render: (thinks: boolean) => string) =>
    new NativePrompts(
      library((_, thinks) => render(thinks)),
      { specials, begin: "", template: ownTemplate(template) },
    )
      .make({ messages: user(text("hi")), thinking })
      .then(({ text }) => text);
  const qwen = (thinks: boolean) => `<a>${thinks ? "" : "<think>\n\n</think>\n\n"}`;

  test.each<[string, (thinks: boolean) => string, Thinking, string]>([
    ["answers straight away", qwen, "off", "<a><think>\n\n</think>\n\n"],
    ["also where its template has no switch for it", () => "<a>", "off", "<a><think>\n\n</think>\n\n"],
    ["begins inside of its thinking", qwen, "open", "<a><think>\n"],
    ["where the template has opened it, too", () => "<a><think>\n", "open", "<a><think>\n"],
    ["goes on after a thought", qwen, { thought: "so" }, "<a><think>\nso\n</think>\n\n"],
    [
      "which cannot end itself",
      qwen,
      { thought: "a</think>b" },
      "<a><think>\na<\u200b/think>b\n</think>\n\n",
    ],
  ])("%s", async (_, render, thinking, expected) => {
    expect(await asked("<think>…</think>", thinking, render)).toBe(expected);
  });

  test("is one whose template says so; another is asked as ever", async () => {
    expect(await asked("none", "open", () => "<a>")).toBe("<a>");
    const thinks = (template: string) =>
      new NativePrompts(library(), { specials, begin: "", template: ownTemplate(template) }).thinking !==
      undefined;
    expect(["<think></think>", "none"].map(thinks)).toEqual([true, false]);
  });
});
