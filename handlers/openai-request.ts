// openai.request: a request of OpenAI's API, passed to the engine as it is. Each line of a batch (`/v1/batches`) is such a job.
import { z } from "zod";
import { defineHandler, type SafeImage } from "../worker/job/handler.ts";

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The parts of messages that are pictures, with the address of each. */
function picturesIn({ messages }: Fields): { part: Fields; url: string }[] {
  if (!Array.isArray(messages)) return [];
  const parts: unknown[] = messages.flatMap((message) => (isObject(message) ? message.content : []));
  return parts.flatMap((part) => {
    if (!isObject(part) || part.type !== "image_url") return [];
    const url = isObject(part.image_url) ? part.image_url.url : part.image_url;
    return typeof url === "string" ? [{ part, url }] : [];
  });
}

const nameOf = (index: number) => `picture ${index + 1}`;

/** The body with safe pictures in place of their addresses: no engine opens what somebody else chose. */
function withPictures(body: Fields, pictures: Record<string, SafeImage>): Fields {
  const copy = structuredClone(body);
  for (const [index, { part }] of picturesIn(copy).entries()) {
    const given = isObject(part.image_url) ? part.image_url : {};
    part.image_url = { ...given, url: pictures[nameOf(index)]!.dataUri };
  }
  return copy;
}

export default defineHandler({
  kind: "openai.request",
  summary: "Passes a request of OpenAI's API to the engine and gives its whole answer.",
  input: z.strictObject({
    url: z.enum(["/v1/chat/completions", "/v1/completions"]).describe("The endpoint of the API."),
    body: z
      .record(z.string(), z.unknown())
      .describe("The request's body. Its pictures may be s3://bucket/key, https://… or data: URIs."),
  }),
  output: z.record(z.string(), z.unknown()),
  storedOnly: true,
  inputs: ({ body }): Record<string, { from: string; as: "image" }> =>
    Object.fromEntries(
      picturesIn(body).map(({ url }, index) => [nameOf(index), { from: url, as: "image" as const }]),
    ),

  run: ({ url, body }, { model, inputs }) => model.complete({ url, body: withPictures(body, inputs) }),
});
