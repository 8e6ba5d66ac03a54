// Whether two of a model's distributions over tokens are one and the same. A prompt evaluated at once and one evaluated in
// parts differ in the last digits, so that digits are compared by their distance and not by how they are rounded.
import type OpenAI from "openai";
import { expect } from "vitest";

type Reported = Pick<OpenAI.ChatCompletionTokenLogprob, "top_logprobs">;

export function expectSame(one: Reported, other: Reported, digits: number): void {
  const tokens = ({ top_logprobs }: Reported) => top_logprobs.map(({ token }) => token).toSorted();
  expect(tokens(one)).toEqual(tokens(other));
  for (const [at, { logprob }] of one.top_logprobs.entries())
    expect(logprob).toBeCloseTo(other.top_logprobs[at]!.logprob, digits);
}
