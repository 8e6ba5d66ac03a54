// prompt: a free prompt, with a picture or a JSON schema if you like.
import { z } from "zod";
import { defineHandler } from "../worker/job/handler.ts";

const INSTRUCTIONS = "Do what the input asks. Answer in the input's language.";

const BOUND = /^(exclusive)?(minimum|maximum)$/i;

/** Generators of schemas write the limits of 64-bit integers as bounds, which arrive as texts. As bounds they may be rounded. */
function withBounds(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withBounds);
  if (typeof schema !== "object" || schema === null) return schema;
  const fields = Object.entries(schema).map(([name, value]) => {
    if (BOUND.test(name) && typeof value === "string" && /^-?\d+$/.test(value)) return [name, Number(value)];
    return [name, /^(enum|const|default|examples)$/.test(name) ? value : withBounds(value)];
  });
  return Object.fromEntries(fields);
}

export default defineHandler({
  kind: "prompt",
  summary: "Runs a free prompt. With a JSON schema, the answer is a value that fits it.",
  input: z.strictObject({
    prompt: z.string().min(1).max(200_000).describe("What you ask."),
    system: z.string().max(20_000).optional().describe("Your own instructions, as the system message."),
    image: z.string().min(1).optional().describe("A picture: s3://bucket/key, https://… or a data: URI."),
    schema: z
      .record(z.string(), z.unknown())
      .transform((schema) => withBounds(schema) as typeof schema)
      .optional()
      .describe("A JSON schema that the answer must fit."),
    maxTokens: z.int().min(1).max(32_768).default(1_024).describe("The longest answer, in tokens."),
  }),
  output: z.union([
    z.strictObject({
      text: z.string(),
      truncated: z.literal(true).optional().describe("The text was cut off at maxTokens."),
    }),
    z.strictObject({ value: z.unknown() }),
  ]),
  inputs: ({ image }) => ({ image: image === undefined ? undefined : { from: image, as: "image" as const } }),

  async run({ prompt, system, schema, maxTokens }, { model, inputs }) {
    const question = {
      instructions: system ?? INSTRUCTIONS,
      content: prompt,
      maxTokens,
      image: inputs.image,
    };
    if (schema) return { value: await model.ask({ ...question, jsonSchema: schema }) };
    const end: { truncated?: true } = {};
    const onCutOff = () => {
      end.truncated = true;
    };
    return { text: await model.ask({ ...question, onCutOff }), ...end };
  },
});
