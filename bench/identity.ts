// `bench identity`: whether a batch says what each request says alone. Greedy answers of many mixed requests, all at once and
// one by one, on one engine each; where they differ, how close the model was to saying the other thing.
import { join } from "node:path";
import sharp from "sharp";
import { matchContent } from "../handlers/todo-match.ts";
import { pictureCase } from "../models/demo/data/lock-questions.ts";
import { HELD_OUT } from "../models/demo/data/random.ts";
import { todoCase } from "../models/demo/data/todos.ts";
import { type Column, table } from "../worker/cli/terminal.ts";
import type { EngineFlags } from "../worker/engine/child.ts";
import { type Bench, whole } from "./arguments.ts";
import { startOurEngine } from "./engine-process.ts";
import { factsLine, machine } from "./machine.ts";
import { promptsOf, textOf } from "./prompts.ts";
import { smallModel } from "./random-model.ts";
import { digits, percent } from "./table.ts";

const ANSWER_TOKENS = 48;
const DEMO = join(import.meta.dirname, "../models/demo");

type Body = Record<string, unknown> & { messages: unknown[] };
type Suite = { name: string; flags: EngineFlags; bodies: Body[] };
type Compared = {
  name: string;
  requests: number;
  same: number;
  /** Of answers that differ: how much likelier the token said alone was than the other one, as a ratio of probabilities. */
  widestGap: number | null;
};

const COLUMNS: Column[] = [
  { title: "" },
  { title: "requests", align: "right" },
  { title: "the same", align: "right" },
  { title: "share", align: "right" },
  { title: "where not: p(alone) / p(batch)" },
];

export const identity: Bench = {
  about: "whether a batch says token for token what each request says alone; texts and pictures mixed",
  options: {
    requests: { type: "string", default: "64" },
    concurrency: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
  },
  async run(values, print) {
    const [requests, concurrency] = [whole(values, "requests"), whole(values, "concurrency")];
    const threads = whole(values, "threads");
    const facts = machine();
    print(factsLine(facts, { threads, requests, "at once": concurrency }));
    const compared: Compared[] = [];
    for (const suite of [await randomTexts(requests), await textsAndPictures(requests)]) {
      compared.push(await compare(suite, { threads, slots: concurrency }));
      process.stderr.write(`compared ${suite.name}\n`);
    }
    print(table(COLUMNS, compared.map(row)));
    return { machine: facts, threads, concurrency, compared };
  },
};

function row({ name, requests, same, widestGap }: Compared): string[] {
  const gap = widestGap === null ? "" : `at most ${digits(widestGap, 4)}`;
  return [name, String(requests), String(same), percent(same / requests), gap];
}

/** Of all lengths; half of them begin alike. */
async function randomTexts(count: number): Promise<Suite> {
  const alike = promptsOf({ shared: 300, own: 60 }, Math.ceil(count / 2), 3);
  const others = Array.from({ length: Math.floor(count / 2) }, (_, at) =>
    textOf(20 + ((at * 37) % 700), 50 + at),
  );
  const texts = alike.flatMap((text, at) => [text, others[at]]).filter((text) => text !== undefined);
  const flags = { backend: "node-llama-cpp", model: await smallModel("Q8_0"), contextSize: 1_024 } as const;
  return { name: "random 57M, texts (node-llama-cpp)", flags, bodies: texts.map((text) => chat(text)) };
}

/** The demo model's own kinds of question, so that the answers mean something. */
async function textsAndPictures(count: number): Promise<Suite> {
  const bodies = await Promise.all(
    Array.from({ length: count }, (_, at) => (at % 4 === 3 ? lock(at) : todo(at))),
  );
  const flags: EngineFlags = {
    backend: "llama-node",
    model: join(DEMO, "kamado-demo.gguf"),
    mmproj: join(DEMO, "kamado-demo-mmproj.gguf"),
    contextSize: 1_024,
  };
  return { name: "demo model, texts and pictures (llama.node)", flags, bodies };
}

const chat = (content: unknown): Body => {
  return { messages: [{ role: "user", content }], temperature: 0, max_tokens: ANSWER_TOKENS };
};

function todo(at: number): Body {
  const { text, todos } = todoCase(HELD_OUT + at);
  return chat(matchContent(text, todos));
}

async function lock(at: number): Promise<Body> {
  const { picture, question } = pictureCase(HELD_OUT + at);
  const { rgb, width, height } = picture;
  const png = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  const url = `data:image/png;base64,${png.toString("base64")}`;
  return chat([
    { type: "image_url", image_url: { url } },
    { type: "text", text: question },
  ]);
}

/** A fresh engine for either way: what one keeps shall not help the other. */
async function compare(
  { name, flags, bodies }: Suite,
  how: { threads: number; slots: number },
): Promise<Compared> {
  const together = await withEngine({ ...flags, ...how }, async (url) => {
    return Promise.all(bodies.map(async (body) => textIn(await ask(url, body))));
  });
  return withEngine({ ...flags, ...how, slots: 1 }, async (url) => {
    let same = 0;
    const gaps: number[] = [];
    for (const [at, body] of bodies.entries()) {
      const alone = textIn(await ask(url, body));
      if (alone === together[at]) same++;
      else gaps.push(await gapAt(url, body, alone, together[at]!));
    }
    return { name, requests: bodies.length, same, widestGap: gaps.length === 0 ? null : Math.max(...gaps) };
  });
}

async function withEngine<T>(flags: EngineFlags, use: (url: string) => Promise<T>): Promise<T> {
  const engine = await startOurEngine(flags);
  try {
    return await use(engine.url);
  } finally {
    await engine.stop();
  }
}

type Answer = {
  choices: [
    {
      message: { content: string };
      logprobs?: { content: { token: string; top_logprobs: { token: string; logprob: number }[] }[] };
    },
  ];
};
const textIn = ({ choices }: Answer) => choices[0].message.content;

async function ask(url: string, body: Body): Promise<Answer> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json() as Promise<Answer>;
}

/** At the first token that differs: how much likelier the model finds the best one than the runner-up. */
async function gapAt(url: string, body: Body, alone: string, batch: string): Promise<number> {
  let shared = 0;
  while (shared < alone.length && alone[shared] === batch[shared]) shared++;
  const { choices } = await ask(url, { ...body, logprobs: true, top_logprobs: 2 });
  let length = 0;
  const at = choices[0].logprobs!.content.find(({ token }) => {
    length += token.length;
    return length > shared;
  });
  const [best, next] = at?.top_logprobs ?? [];
  return best && next ? Math.exp(best.logprob - next.logprob) : Number.POSITIVE_INFINITY;
}
