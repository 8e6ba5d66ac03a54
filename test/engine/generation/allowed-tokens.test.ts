import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  getLlama,
  type Llama,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TINY, writeTextModel } from "../../../models/random/models.ts";
import { AllowedTokens } from "../../../worker/engine/generation/allowed-tokens.ts";
import { jsonGrammar, rulesOf } from "../../../worker/engine/generation/json-schema-to-gbnf.ts";
import { randomStream } from "../../../worker/engine/generation/sampler.ts";
import { type TokenTexts, tokenTextsOf } from "../../../worker/engine/generation/token-texts.ts";
import { GEMMA3, NO_REAL_MODEL, SMOLLM2 } from "../../models/real-models.ts";

const texts = tokenTextsOf(
  {
    model: "llama",
    tokens: ["<eos>", "{", '{"', "a", '"', '":', ":", "1", "12", "}", "]", "\u2581", "<0xE7>", "x", "é"],
    token_type: [3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6, 1, 1],
  },
  [0],
)!;
const walk = (schema: object, vocabulary: TokenTexts = texts) =>
  new AllowedTokens(rulesOf(jsonGrammar(schema as Record<string, unknown>))!, vocabulary).start();
const object = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };

describe("the tokens that a grammar allows next", () => {
  test("are those whose whole text fits", () => {
    const answer = walk(object);
    const named = [2, 3, 5, 8].map((token) => {
      answer.accept(token);
      return answer.allowed()!.toSorted((a, b) => a - b);
    });
    expect(named).toEqual([[3], [4, 5], [7, 8, 11], [7, 8, 9, 11]]);
  });
  test("are the ends of an answer where it is complete", () => {
    const answer = walk(object);
    for (const token of [2, 3, 5, 8, 9]) answer.accept(token);
    expect(answer.allowed()).toEqual([0]);
  });
  test("are not named within a text, where nearly all fit", () => {
    const answer = walk({ type: "string" });
    answer.accept(4);
    expect(answer.allowed()).toBeUndefined();
  });
  test("are not named within a character, of which only the library knows how it may go on", () => {
    const answer = walk({ type: "string" });
    for (const token of [4, 12]) answer.accept(token);
    expect(answer.allowed()).toBeUndefined();
  });
  test("are not named after a token that does not fit", () => {
    const answer = walk(object);
    answer.accept(13);
    expect(answer.allowed()).toBeUndefined();
  });
  test("include the first part of a character with which a value begins", () => {
    const answer = walk({ enum: ["ç", "x"] });
    answer.accept(4);
    expect(answer.allowed()).toContain(12);
  });
});

const SCHEMAS: Record<string, object> = {
  object: {
    type: "object",
    properties: {
      yes: { type: "boolean" },
      no: { type: ["number", "null"] },
      the: { type: "array", items: { type: "integer" }, maxItems: 3 },
      name: { type: "string", maxLength: 6 },
    },
    required: ["yes", "no"],
  },
  enum: { enum: ["yes", "yesterday", "日本", "日曜", "é", 12, 1.5, null, "", "a\nb"] },
  union: {
    anyOf: [
      {
        type: "object",
        properties: { kind: { const: "a" }, n: { type: "integer" } },
        required: ["kind", "n"],
      },
      {
        type: "object",
        properties: { kind: { const: "b" }, s: { enum: ["x", "xy"] } },
        required: ["kind", "s"],
      },
      { type: "array", items: { type: "array", items: { type: "boolean" } }, minItems: 1 },
    ],
  },
  any: {},
};
const MODELS: [string, string | undefined][] = [
  ["a random vocabulary", "tiny"],
  ["SmolLM2", SMOLLM2],
  ["Gemma 3", GEMMA3],
];

describe("what is named here is what the library allows", () => {
  let llama: Llama;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "kamado-"));
    llama = await getLlama({ build: "never", gpu: false, progressLogs: false, logLevel: "error" as never });
  });
  afterAll(async () => {
    await llama.dispose();
    rmSync(folder, { recursive: true });
  });

  for (const [name, path] of MODELS) {
    const title = path === undefined ? `${name}: ${NO_REAL_MODEL}` : name;
    test.skipIf(path === undefined)(
      title,
      async () => {
        const file = path === "tiny" ? join(folder, "tiny.gguf") : path!;
        if (path === "tiny") writeTextModel(file, TINY);
        const model = await llama.loadModel({ modelPath: file, vocabOnly: true });
        const compared = [];
        const vocabulary = vocabularyOf(model);
        for (const schema of Object.values(SCHEMAS))
          compared.push(await compare(llama, model, vocabulary, schema));
        await model.dispose();
        expect(compared.every((count) => count > 2)).toBe(true);
      },
      300_000,
    );
  }
});

function vocabularyOf(model: LlamaModel) {
  const facts = model.fileInfo.metadata.tokenizer.ggml;
  const all = [...facts.tokens.keys()];
  const ends = all.filter((id) => model.isEogToken(id as Token));
  return { all, ends, texts: tokenTextsOf(facts, ends)! };
}

/** Follows random answers, and at each step compares all tokens that are named, and many that are not. Returns how many steps. */
async function compare(
  llama: Llama,
  model: LlamaModel,
  { all, ends, texts: vocabulary }: ReturnType<typeof vocabularyOf>,
  schema: object,
): Promise<number> {
  const gbnf = jsonGrammar(schema as Record<string, unknown>);
  const grammar = await llama.createGrammar({ grammar: gbnf });
  const allowed = new AllowedTokens(rulesOf(gbnf)!, vocabulary);
  const random = randomStream(7);
  // Of a large vocabulary: short tokens that begin as answers do, and some of the others.
  const near = all.filter((id) => all.length < 1_000 || isNear(vocabulary, id) || random() < 0.001);
  const looked = [...new Set([...near, ...ends])];
  let compared = 0;
  for (let answer = 0; answer < 3; answer++) {
    const library = libraryState(llama, model, grammar);
    const place = allowed.start();
    for (let step = 0; step < 16; step++) {
      const named = place.allowed();
      const fitting = looked.filter((id) => library.allows(id));
      if (named !== undefined) {
        const set = new Set(named);
        expect(fitting.filter((id) => !set.has(id))).toEqual([]);
        expect(named.filter((id) => !vocabulary.isCut(id) && !library.allows(id))).toEqual([]);
        compared++;
      }
      const next = fitting[Math.floor(random() * fitting.length)];
      if (next === undefined || model.isEogToken(next as Token)) break;
      library.accept(next);
      place.accept(next);
    }
  }
  return compared;
}

const isNear = (vocabulary: TokenTexts, id: number) => {
  const [first, ...rest] = vocabulary.points(id);
  return (
    rest.length < 2 &&
    first !== undefined &&
    first < 0x80 &&
    '{}[]":,0123456789-.ytnfax\\'.includes(String.fromCodePoint(first))
  );
};

function libraryState(
  llama: Llama,
  model: LlamaModel,
  grammar: never | Awaited<ReturnType<Llama["createGrammar"]>>,
) {
  const { _state } = new LlamaGrammarEvaluationState({ model, grammar }) as unknown as { _state: unknown };
  const { AddonSampler } = (llama as unknown as { _bindings: { AddonSampler: Native } })._bindings;
  return {
    allows: (token: number) => AddonSampler.canBeNextTokenForGrammarEvaluationState(_state, token),
    accept: (token: number) => AddonSampler.acceptGrammarEvaluationStateToken(_state, token),
  };
}
type Native = {
  canBeNextTokenForGrammarEvaluationState(state: unknown, token: number): boolean;
  acceptGrammarEvaluationStateToken(state: unknown, token: number): void;
};
