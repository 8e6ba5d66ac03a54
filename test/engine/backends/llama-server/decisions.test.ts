// What the llama-server backend decides, without a llama-server.
import { describe, expect, test } from "vitest";
import {
  beginningOf,
  cut,
  endOf,
  separated,
} from "../../../../worker/engine/backends/llama-server/chat-template.ts";
import { stepsIn } from "../../../../worker/engine/backends/llama-server/client.ts";
import { Prefixes } from "../../../../worker/engine/backends/llama-server/prefix-files.ts";
import {
  argumentsFor,
  isSafe,
  levelOf,
  reasonIn,
  textOf,
} from "../../../../worker/engine/backends/llama-server/process.ts";
import { completionBody } from "../../../../worker/engine/backends/llama-server/request.ts";
import { chooseSlot, type Slot } from "../../../../worker/engine/backends/llama-server/slot-choice.ts";
import { dataIn, Stream } from "../../../../worker/engine/backends/llama-server/stream.ts";
import type { Token } from "../../../../worker/engine/generation/backend.ts";
import { specialPattern } from "../../../../worker/engine/generation/special-tokens.ts";

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);

describe("which slot a request goes to", () => {
  const slot = (tokens: number[], more: Partial<Slot> = {}): Slot => {
    return { tokens, busy: false, usedAt: 0, conversation: undefined, ...more };
  };
  const prompt = numbers(0, 100);
  test.each<[string, Slot[], number | undefined]>([
    ["to the one that has most of it", [slot(numbers(0, 20)), slot(numbers(0, 60)), slot([])], 1],
    ["never to a busy one", [slot(numbers(0, 60), { busy: true }), slot(numbers(0, 20))], 1],
    ["nowhere when all are busy", [slot([], { busy: true })], undefined],
    [
      "to the one whose loss costs least, of those with about as much",
      [slot([...numbers(0, 60), ...numbers(500, 300)]), slot(numbers(0, 50))],
      1,
    ],
    ["to an empty one before one that holds something else", [slot(numbers(500, 30)), slot([])], 1],
    ["to the one that waited longest, of equals", [slot([], { usedAt: 7 }), slot([], { usedAt: 3 })], 1],
    [
      "not to another's conversation",
      [slot(numbers(0, 10), { conversation: "b" }), slot(numbers(500, 90))],
      1,
    ],
    ["to its own conversation", [slot(numbers(0, 60), { conversation: "a" }), slot(numbers(0, 50))], 0],
  ])("%s", (_, slots, at) => expect(chooseSlot(slots, prompt, "a")).toBe(at));
});

describe("which beginnings of prompts are saved", () => {
  const instructions = numbers(0, 200);
  const question = (n: number) => [...instructions, ...numbers(1_000 * n, 30)];
  type Saved = { tokens: readonly number[] };
  const saved = (tokens: readonly number[]): Saved => ({ tokens });

  test("what two requests share, and only once", () => {
    const prefixes = new Prefixes<Saved>();
    expect(prefixes.wanted(question(1))).toBeUndefined();
    expect(prefixes.wanted(question(2))).toEqual(instructions);
    prefixes.add(saved(instructions));
    expect(prefixes.wanted(question(3))).toBeUndefined();
    expect(prefixes.covered(question(4))).toBe(200);
  });

  test("not what is evaluated as fast as it is read", () => {
    const prefixes = new Prefixes<Saved>();
    prefixes.wanted([...numbers(0, 40), 900, 901]);
    expect(prefixes.wanted([...numbers(0, 40), 902, 903])).toBeUndefined();
  });

  test.each<[string, number[], number[], number]>([
    ["the text before a picture that differs", [-5, -5, -5, 1], [-6, -6, -6, 1], 200],
    ["the picture too when it is the same", [-5, -5, -5, 1], [-5, -5, -5, 2], 203],
    ["no text after it", [-5, -5, 1, 2, 3, 4], [-5, -5, 1, 2, 3, 5], 202],
    ["two pictures", [-5, -5, 1, -6, -6, 2], [-5, -5, 1, -6, -6, 3], 205],
    ["only the first of two when the second differs", [-5, -5, 1, -6, -6, 2], [-5, -5, 1, -7, -7, 2], 202],
    ["no half picture", [-5, -5, 1, 2], [-5, -5, -5, 1], 200],
  ])("%s", (_, one, other, length) => {
    const prefixes = new Prefixes<Saved>();
    prefixes.wanted([...instructions, ...one]);
    expect(prefixes.wanted([...instructions, ...other])).toEqual(
      [...instructions, ...other].slice(0, length),
    );
  });

  test("one token of the very same prompt is left, which the server needs to evaluate", () => {
    const prefixes = new Prefixes<Saved>();
    prefixes.wanted(instructions);
    expect(prefixes.wanted(instructions)).toEqual(instructions.slice(0, -1));
  });

  test("a slot is filled from the file that helps most, if any helps", () => {
    const prefixes = new Prefixes<Saved>();
    prefixes.add(saved(numbers(0, 100)));
    prefixes.add(saved(instructions));
    expect(prefixes.best(question(1), 0)?.tokens).toEqual(instructions);
    expect(prefixes.best(question(1), 190)).toBeUndefined();
    expect(prefixes.best(numbers(7_000, 100), 0)).toBeUndefined();
  });

  test("files of shorter beginnings of the same are not needed any more", () => {
    const prefixes = new Prefixes<Saved>();
    const short = saved(numbers(0, 100));
    expect(prefixes.add(short)).toEqual([]);
    expect(prefixes.add(saved(numbers(10_000, 100)))).toEqual([]);
    expect(prefixes.add(saved(instructions))).toEqual([short]);
    prefixes.remove(short);
    expect(prefixes.best(numbers(0, 100), 0)?.tokens).toEqual(instructions);
  });
});

describe("an answer as it is heard", () => {
  function hear(
    events: object[],
    { topLogprobs, until = Infinity }: { topLogprobs?: number; until?: number } = {},
  ) {
    const tokens: Token[] = [];
    const hearing = new Stream((token) => tokens.push(token) < until, topLogprobs);
    const asked = events.findIndex((event) => !hearing.push(event));
    return { tokens, hearing, asked };
  }
  const token = (content: string, id: number, count: number) => {
    return { content, tokens: [id], tokens_predicted: count, stop: false };
  };
  const end = (stop_type: string, count: number) => ({ stop: true, stop_type, tokens_predicted: count });

  test("the token that ends it is no part of it, but counts", () => {
    const { tokens, hearing } = hear([token("a", 1, 1), token("", 9, 2), end("eos", 2)]);
    expect(tokens).toEqual([{ text: "a" }]);
    expect(hearing).toMatchObject({ finish: "stop", completionTokens: 2, tokens: [1, 9] });
  });

  test("a token without text that is not the end comes with the next", () => {
    const { tokens } = hear([token("", 7, 1), token("b", 2, 2), end("limit", 2)]);
    expect(tokens).toEqual([{ text: "" }, { text: "b" }]);
  });

  test.each([
    ["limit", "length"],
    ["word", "stop"],
    ["eos", "stop"],
  ])("%s is %s", (type, finish) => expect(hear([end(type, 3)]).hearing.finish).toBe(finish));

  test("what was cached is told before the first token", () => {
    const { hearing } = hear([{ prompt_progress: { cache: 40, total: 50, processed: 40 } }, end("eos", 1)]);
    expect(hearing.cachedTokens).toBe(40);
  });

  test("nothing is heard after the client has enough", () => {
    const { tokens, asked, hearing } = hear([token("a", 1, 1), token("b", 2, 2), token("c", 3, 3)], {
      until: 2,
    });
    expect([tokens.length, asked, hearing.finish]).toEqual([2, 1, "stop"]);
  });

  test("what the slot holds is known up to a character of several tokens", () => {
    expect(hear([token("a", 1, 1), token("é", 3, 3), token("b", 4, 4)]).hearing.tokens).toEqual([1]);
  });

  test("probabilities come with their token, as many as were asked for", () => {
    const top_logprobs = [
      { token: "?", bytes: [195, 169], logprob: -0.1 },
      { token: "b", logprob: -3 },
    ];
    const probabilities = { completion_probabilities: [{ token: "?", logprob: -0.1, top_logprobs }] };
    const { tokens } = hear([{ ...token("é", 1, 1), ...probabilities }], { topLogprobs: 1 });
    expect(tokens).toEqual([{ text: "é", logprob: -0.1, top: [{ text: "é", logprob: -0.1 }] }]);
  });

  test.each([
    ['data: {"a":1}', { a: 1 }],
    [": ping", undefined],
    ["data: [DONE]", undefined],
    ['error: {"code":500}', { error: { code: 500 } }],
  ])("%s", (block, data) => expect(dataIn(block)).toEqual(data));
});

describe("a completion as the server takes it", () => {
  const sampling = {
    temperature: 0.5,
    topP: 0.9,
    topK: 7,
    seed: 2 ** 31 + 3,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: new Map<number, number>(),
  };
  const wanted = {
    sampling,
    topLogprobs: undefined,
    prompt: [1],
    slot: 2,
    room: 9,
    grammar: undefined,
    end: undefined,
  };

  test("samples as asked and in no other way", () => {
    expect(completionBody(wanted)).toMatchObject({
      temperature: 0.5,
      top_p: 0.9,
      top_k: 7,
      seed: 3,
      id_slot: 2,
      n_predict: 9,
      samplers: ["penalties", "top_k", "top_p", "temperature"],
      min_p: 0,
      typical_p: 1,
      xtc_probability: 0,
      dry_multiplier: 0,
      mirostat: 0,
      repeat_last_n: 0,
    });
    expect(Object.keys(completionBody(wanted))).not.toContain("grammar");
  });

  test("asks for the model's own probabilities, and for one at least", () => {
    expect(completionBody({ ...wanted, topLogprobs: 0 })).toMatchObject({
      n_probs: 1,
      post_sampling_probs: false,
    });
    expect(completionBody({ ...wanted, topLogprobs: 5 })).toMatchObject({ n_probs: 5 });
  });

  test("forbids what has the lowest bias", () => {
    const logitBias = new Map([
      [5, -100],
      [6, 2.5],
    ]);
    expect(completionBody({ ...wanted, sampling: { ...sampling, logitBias } })).toMatchObject({
      logit_bias: [
        [5, false],
        [6, 2.5],
      ],
    });
  });

  test("stops where thinking ends, a special token or not", () => {
    expect(completionBody({ ...wanted, end: "</think>" })).toMatchObject({
      stop: ["</think>"],
      preserved_tokens: ["</think>"],
    });
  });
});

describe("how an answer begins", () => {
  const qwen = "{% if enable_thinking %}<think></think>{% endif %}";
  const harmony = "<|channel|>analysis <|channel|>final";
  const outside = (text: string) => text.replaceAll("<", "‹");
  test.each<[string, string, string, Parameters<typeof endOf>[2], string]>([
    ["straight away", "assistant\n", "no thinking here", "off", ""],
    ["straight away, where the template sees to it", "assistant\n", qwen, "off", ""],
    [
      "after no thought, where the template always opens one",
      "assistant\n<think>\n",
      qwen,
      "off",
      "\n</think>\n\n",
    ],
    ["in the answer's channel", "<|start|>assistant", harmony, "off", "<|channel|>final<|message|>"],
    ["inside of the thinking", "assistant\n", qwen, "open", "<think>\n"],
    ["after a thought, which is text", "assistant\n", qwen, { thought: "<b>" }, "<think>\n‹b>\n</think>\n\n"],
  ])("%s", (_, rendered, template, thinking, end) =>
    expect(endOf(rendered, template, thinking, outside)).toBe(end),
  );
});

test("a prompt's beginning ends with its last picture", () => {
  const image = (sha256: string) => ({ dataUri: "data:,", width: 1, height: 1, sha256 });
  const texts = ["look ", " and ", " now"];
  const prompt = { tokens: [1, -5, -5, 2, -6, -6, 3], images: [image("a"), image("b")], texts, end: "x" };
  expect(beginningOf(prompt, 3)).toMatchObject({
    tokens: [1, -5, -5],
    texts: ["look ", "\n"],
    images: [image("a")],
  });
  expect(beginningOf(prompt, 6)).toMatchObject({
    texts: ["look ", " and ", "\n"],
    images: [image("a"), image("b")],
  });
  expect(beginningOf(prompt, 1)).toEqual({ tokens: [1], images: [], texts: undefined, end: undefined });
});

test("two pictures never stand side by side, and none stands at the end", () => {
  expect(separated(["", "", "and", ""])).toEqual(["", "\n", "and", "\n"]);
  expect(separated(["", ""])).toEqual(["", "\n"]);
});

describe("a special token's spelling from outside", () => {
  const specials = specialPattern(["<|end|>", "|end|>", "<b>"]);
  test.each([
    ["<|end|>", ["<", "|", "end|>"]],
    ["<b>", ["<", "b>"]],
    ["é", ["é"]],
  ])("%s is cut so that no piece is special", (text, pieces) => expect(cut(text, specials)).toEqual(pieces));
});

describe("what llama-server prints", () => {
  test("is told without its clock", () => {
    expect(textOf("0.00.013.017 E srv    load_model: failed to load model")).toBe(
      "load_model: failed to load model",
    );
    expect(textOf("error: invalid argument: --x")).toBe("error: invalid argument: --x");
  });

  test("is an error, or mostly not worth a warning", () => {
    expect(levelOf("0.00.013.017 E srv    load_model: failed")).toBe("error");
    expect(levelOf("0.00.013.017 W srv    load_model: swa_full is not supported")).toBe("debug");
    expect(levelOf("dyld: Library not loaded")).toBe("warn");
  });

  test("tells why it ended by its last lines that say so", () => {
    const lines = [
      "0.00.1 W srv    a warning",
      "0.00.2 E srv    load_model: failed to load model, 'm.gguf'",
      "",
    ];
    expect(reasonIn(lines)).toBe("load_model: failed to load model, 'm.gguf'");
    expect(reasonIn(["something", "else"])).toBe("something\nelse");
  });

  test.each([
    ["GGML_ASSERT(n > 0) failed", true],
    ["ggml_metal_init: error: out of memory", true],
    ["parse: error parsing grammar: my secret", false],
    ["common_chat_peg_parse: unparsed output: my secret", false],
    ["operator(): need to evaluate at least 1 token", false],
  ])("while it serves, %s may be logged: %s", (words, may) => expect(isSafe(words)).toBe(may));

  test("its steps are counted from its metrics", () => {
    expect(stepsIn("# HELP\nllamacpp:n_decode_total 41\nllamacpp:x 2")).toBe(41);
    expect(stepsIn("nothing")).toBeUndefined();
  });
});

test("llama-server is started on loopback, with a key in a file, and with room for every slot", () => {
  const options = { model: "m.gguf", mmproj: "eyes.gguf", slots: 4, contextSize: 1_000, threads: 2 };
  const line = argumentsFor(options, { port: 7_000, keyFile: "/private/key", folder: "/private" }).join(" ");
  for (const part of [
    "--host 127.0.0.1 --port 7000",
    "--api-key-file /private/key",
    "--parallel 4 --ctx-size 4000",
    "--mmproj eyes.gguf",
    "--threads 2",
    "--slot-save-path /private/",
    "--no-webui",
  ])
    expect(line).toContain(part);
});
