// What every server is asked, recorded or live: a text, a schema, a decision, a picture; each of the last three by two jobs, so that what
// was learned shows. Says what came back, and how many requests were wasted: refused, or answered to no use.
import { z } from "zod";
import type { KamadoError } from "../../../worker/errors.ts";
import { Capabilities } from "../../../worker/model/capabilities.ts";
import { EngineClient } from "../../../worker/model/engine-client.ts";
import { createModel, type Usage } from "../../../worker/model/model.ts";
import type { Seen } from "./exchanges.ts";

const QUESTION = { instructions: "What color is the ball?", content: "A cat sits on the mat." };
const TEXT = { instructions: "Say hello.", content: "The door is open.", maxTokens: 10 };
const CHOICE = {
  instructions: "Answer with one word: yes or no.",
  content: "Is snow cold?",
  options: ["yes", "no"] as const,
};
// A weak model repeats the schema where it is asked for a value that fits it, and this schema lets that pass.
const SCHEMA = z.object({ type: z.string() });
/** One pixel. */
const PICTURE = {
  dataUri:
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
};

/** It was refused, or asked for probabilities and got none. */
const wasInVain = ({ status, body, answer }: Seen) =>
  status !== 200 || (body.top_logprobs !== undefined && !answer.choices[0].logprobs?.content);

type Image = NonNullable<Parameters<ReturnType<typeof createModel>["model"]["ask"]>[0]["image"]>;
export type Shown = Awaited<ReturnType<typeof askAll>>;

/** `seen` grows with every chat request that the server gets. */
export async function askAll(url: string, seen: readonly Seen[], named?: string) {
  const client = new EngineClient({ url, model: named });
  const capabilities = new Capabilities();
  const { signal } = new AbortController();
  const job = () => createModel({ client, signal, capabilities });
  /** The same work of two jobs, one after the other. */
  const twice = async <T>(work: (one: ReturnType<typeof job>) => Promise<T>) => {
    const before = seen.length;
    const first = await work(job());
    const between = seen.length;
    const second = await work(job());
    const asked = [seen.slice(before, between), seen.slice(between)] as const;
    return { first, second, requests: [asked[0].length, asked[1].length] as const, asked };
  };
  try {
    const one = job();
    const text = await one.model.ask(TEXT);
    const schema = await twice(({ model }) => model.ask({ ...QUESTION, schema: SCHEMA, maxTokens: 48 }));
    const decision = await twice(({ model }) => model.decide(CHOICE));
    const picture = await twice(({ model }) =>
      model.ask({ ...TEXT, image: PICTURE as Image }).catch((thrown: KamadoError) => thrown),
    );
    const wastedBy = (which: 0 | 1) =>
      schema.requests[which] - 1 + decision.asked[which].filter(wasInVain).length;
    const wasted = { first: wastedBy(0), second: wastedBy(1) };
    return { text, schema, decision, picture, receipt: one.used() satisfies Usage, wasted };
  } finally {
    await client.close();
  }
}
