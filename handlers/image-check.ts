// image.check: a yes/no question about a picture, answered with a probability.
import { z } from "zod";
import { defineHandler } from "../worker/job/handler.ts";

const INSTRUCTIONS = `You look at a picture and answer a question about it that stands after "Q:".
Answer with one letter and nothing else: y for yes, n for no.`;

/** What the model gets besides the picture. */
export function checkContent(question: string): string {
  return `Q: ${question.replaceAll(/\s+/g, " ").trim()}`;
}

export default defineHandler({
  kind: "image.check",
  summary: "Answers a yes/no question about a picture.",
  input: z.strictObject({
    image: z.string().min(1).describe("The picture: s3://bucket/key, https://… or a data: URI."),
    question: z.string().trim().min(1).max(1_000).describe("A question whose answer is yes or no."),
    threshold: z
      .number()
      .min(0.5)
      .max(1)
      .default(0.6)
      .describe("Below this probability the answer is uncertain."),
  }),
  output: z.strictObject({
    answer: z.enum(["y", "n", "uncertain"]),
    probability: z.number().min(0).max(1).describe("The probability of y."),
  }),
  inputs: ({ image }) => ({ image: { from: image, as: "image" as const } }),

  async run({ question, threshold }, { model, inputs }) {
    const { choice, probabilities } = await model.decide({
      instructions: INSTRUCTIONS,
      content: checkContent(question),
      image: inputs.image,
      options: ["y", "n"],
      threshold,
    });
    return { answer: choice, probability: probabilities.y };
  },
});
