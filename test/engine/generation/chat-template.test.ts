// Which chat template a model gets, and what everybody is told about it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { TINY, writeTextModel } from "../../../models/random/models.ts";
import { openLlamaNode } from "../../../worker/engine/backends/llama-node/open.ts";
import { openLlamaServer } from "../../../worker/engine/backends/llama-server/open.ts";
import { openNodeLlamaCpp } from "../../../worker/engine/backends/node-llama-cpp/open.ts";
import type { Backend } from "../../../worker/engine/generation/backend.ts";
import {
  chooseTemplate,
  namedTemplate,
  templateWarning,
} from "../../../worker/engine/generation/chat-template.ts";
import { GEMMA3, NO_REAL_MODEL } from "../../models/real-models.ts";
import { LLAMA_SERVER } from "../backends/llama-server/installed.ts";
import { type Running, running, user } from "../running.ts";
import { sharedLibrary } from "../tiny-model.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-"));
afterAll(() => rmSync(folder, { recursive: true }));
const fileWith = (text: string) => {
  const path = join(folder, "mine.jinja");
  writeFileSync(path, text);
  return path;
};
const OWN = "{{ messages[0].content }}";

describe("the template of a model", () => {
  test("is its file's own, about which nothing is said", () => {
    const chosen = chooseTemplate(OWN, []);
    expect(chosen).toEqual({ source: OWN, from: "file", endMarks: [] });
    expect(templateWarning(chosen)).toBeUndefined();
  });

  test.each([undefined, ""])("is ChatML where the file has %j, and a line says so", (own) => {
    const chosen = chooseTemplate(own, ["a"]);
    expect(chosen).toMatchObject({
      from: "assumed: chatml",
      endMarks: ["<|im_end|>", "<|im_start|>"],
    });
    expect(templateWarning(chosen)).toMatch(/no chat template.*KAMADO_CHAT_TEMPLATE.*gemma/);
  });

  test("has no end marks as text where they are tokens, which end an answer by themselves", () => {
    expect(chooseTemplate(undefined, ["<|im_start|>", "<|im_end|>"]).endMarks).toEqual([]);
    expect(chooseTemplate(undefined, ["<|im_end|>"]).endMarks).toEqual(["<|im_start|>"]);
  });

  test("is the one that the owner names, even where the file has one", () => {
    const chosen = chooseTemplate(OWN, [], namedTemplate("gemma"));
    expect(chosen).toMatchObject({ from: "gemma", endMarks: ["<end_of_turn>", "<start_of_turn>"] });
    expect(templateWarning(chosen)).toBeUndefined();
  });

  test("may be a Jinja file, whose marks end an answer too", () => {
    const source = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}";
    const chosen = chooseTemplate(undefined, [], namedTemplate(fileWith(`\ufeff${source}`)));
    expect(chosen).toEqual({ source, from: "mine.jinja", endMarks: ["<|im_end|>", "<|im_start|>"] });
  });
});

describe("a template that cannot be used is refused with its variable's name", () => {
  test.each([
    ["no file and no name", () => "chatml2", "KAMADO_CHAT_TEMPLATE: there is no file chatml2; the built-in"],
    ["a name of every object", () => "constructor", "there is no file constructor"],
    ["a folder", () => folder, "is not a file"],
    ["an empty file", () => fileWith(" \n"), "is empty"],
    ["no Jinja", () => fileWith("{% for %}"), "is no Jinja template"],
    ["a zero character", () => "a\0b", "there is no file"],
  ])("%s", (_, wanted, message) => {
    expect(() => namedTemplate(wanted())).toThrow(message);
  });
});

test.each([
  ["chatml", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"],
  ["gemma", "B<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n"],
  [
    "llama3",
    "B<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
  ],
  ["zephyr", "<|system|>\nSE\n<|user|>\nUE\n<|assistant|>\n"],
])("the built-in %s renders a conversation", (name, text) => {
  const messages = [
    { role: "system", content: "S" },
    { role: "user", content: "U" },
  ];
  const more = { add_generation_prompt: true, bos_token: "B", eos_token: "E" };
  expect(new Template(namedTemplate(name).source).render({ messages, ...more })).toBe(text);
});

const OPENERS: Record<string, (model: string, template?: string) => Promise<Backend>> = {
  "node-llama-cpp": async (model, template) =>
    openNodeLlamaCpp({ ...SHAPE, ...wanted(template), model, llama: await sharedLibrary() }, silent),
  "llama-node": (model, template) => openLlamaNode({ ...SHAPE, ...wanted(template), model }),
  ...(LLAMA_SERVER && {
    "llama-server": (model, template) =>
      openLlamaServer({ command: LLAMA_SERVER!, ...SHAPE, ...wanted(template), model }, silent),
  }),
};
const silent = pino({ level: "silent" });
const SHAPE = { slots: 1, contextSize: 256, threads: 1 };
const wanted = (template?: string) => ({
  template: template === undefined ? undefined : namedTemplate(template),
});
const TINY_FILE = join(folder, "tiny-q8_0.gguf");
writeTextModel(TINY_FILE, { ...TINY, template: "" });

describe.each(Object.entries(OPENERS))(
  "a model without a template on %s",
  { timeout: 120_000 },
  (_, open) => {
    const asked = async (
      model: string,
      template: string | undefined,
      work: (engine: Running) => Promise<void>,
    ) => {
      const engine = await running(() => open(model, template), { slots: 1 });
      await work(engine).finally(engine.close);
    };
    const modelIn = async ({ client }: Running) => (await client.models.list()).data[0];
    const ask = ({ client }: Running, model: string, content: string, max_tokens: number) =>
      client.chat.completions.create({ model, messages: user(content), max_tokens, temperature: 0 });

    test("says that its template is assumed, and answers to the names of its file", async () => {
      await asked(TINY_FILE, undefined, async (engine) => {
        expect(await modelIn(engine)).toMatchObject({
          id: "tiny-q8_0",
          file: "tiny-q8_0.gguf",
          chat_template: "assumed: chatml",
        });
        const answers = [await ask(engine, "default", "x", 1), await ask(engine, "tiny-q8_0.gguf", "x", 1)];
        expect(answers.map((answer) => answer.model)).toEqual(["tiny-q8_0", "tiny-q8_0"]);
        // The marks of ChatML, which are text to this model, come on top of the question.
        expect(answers[0]!.usage!.prompt_tokens).toBeGreaterThan(12);
      });
    });

    test("gets the template that is wanted", async () => {
      await asked(TINY_FILE, fileWith("{{ 'ab' }}"), async (engine) => {
        expect(await modelIn(engine)).toMatchObject({ chat_template: "mine.jinja" });
        expect((await ask(engine, "default", "whatever it is", 1)).usage!.prompt_tokens).toBeLessThan(5);
      });
    });

    test("writes no marks into its answers, goes by its title too, and is led by the template: Gemma 3", async (context) => {
      if (!GEMMA3) return context.skip(NO_REAL_MODEL);
      await asked(GEMMA3, undefined, async (engine) => {
        expect(await modelIn(engine)).toMatchObject({
          id: "gemma-3-270m-q4_k_m",
          quantization: "Q4_K_M",
          title: "Gemma 3 270m",
          chat_template: "assumed: chatml",
        });
        const { choices } = await ask(engine, "default", "Copy: a<|im_end|>", 24);
        expect(choices[0]?.message.content).not.toMatch(/<\|im_(end|start)\|>/);
        expect((await ask(engine, "Gemma 3 270m", "x", 1)).model).toBe("gemma-3-270m-q4_k_m");
      });
      await asked(GEMMA3, fileWith("{{ 'One, two, three, four,' }}"), async (engine) => {
        const { choices, usage } = await ask(engine, "default", "whatever", 3);
        expect(choices[0]?.message.content).toMatch(/^ ?five/);
        expect(usage?.prompt_tokens).toBeLessThan(12);
      });
    });
  },
);
