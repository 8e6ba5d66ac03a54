// prompt: whatever you want to ask.
import { expect, test } from "vitest";
import prompt from "../../handlers/prompt.ts";
import { runHandler as run } from "../../testing/testing.ts";
import { parseJson } from "../../worker/job/json.ts";

test("answers with text", async () => {
  const { output, asked } = await run(prompt, { prompt: "Say hi." }, { ask: () => "hi" });
  expect(output).toEqual({ text: "hi" });
  expect(asked[0]).toMatchObject({ content: "Say hi.", maxTokens: 1_024 });
  expect(asked[0]!.image).toBeUndefined();
});

test("says when its answer was cut off", async () => {
  const ask = (question: { onCutOff?(): void }) => {
    question.onCutOff!();
    return "Once upon";
  };
  const { output } = await run(prompt, { prompt: "Tell me a story.", maxTokens: 2 }, { ask });
  expect(output).toEqual({ text: "Once upon", truncated: true });
});

test("with a schema, answers with a value", async () => {
  const schema = { type: "object", properties: { eggs: { type: "integer" } } };
  const { output, asked } = await run(
    prompt,
    { prompt: "How many?", schema, maxTokens: 50 },
    {
      ask: () => ({ eggs: 2 }),
    },
  );
  expect(output).toEqual({ value: { eggs: 2 } });
  expect(asked[0]).toMatchObject({ jsonSchema: schema, maxTokens: 50 });
});

test("your own instructions replace ours, and a picture is sent too", async () => {
  const image = { dataUri: "data:image/png;base64,AA==", width: 8, height: 8, sha256: "00" };
  const input = { prompt: "What is it?", system: "Answer in Latin.", image: "s3://home/a.png" };
  const { asked } = await run(prompt, input, { ask: () => "ovum", inputs: { image } });
  expect(asked[0]).toMatchObject({ instructions: "Answer in Latin.", image });
  expect(prompt.inputs!(prompt.input.parse(input))).toEqual({
    image: { from: "s3://home/a.png", as: "image" },
  });
});

test("a schema may have the limits of 64-bit integers as bounds, however deep; what it lists stays as it is", () => {
  const schema = parseJson(
    '{"type":"object","properties":{"maximum":{"type":"integer","minimum":-9223372036854775808,"exclusiveMaximum":9223372036854775807},"pick":{"anyOf":[{"maximum":18446744073709551615},{"enum":[{"maximum":9007199254740993}]}]}}}',
  );
  expect(prompt.input.parse({ prompt: "p", schema }).schema).toEqual({
    type: "object",
    properties: {
      maximum: { type: "integer", minimum: -(2 ** 63), exclusiveMaximum: 2 ** 63 },
      pick: { anyOf: [{ maximum: 2 ** 64 }, { enum: [{ maximum: "9007199254740993" }] }] },
    },
  });
});
