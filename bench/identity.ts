// `bench identity`: whether a batch gives the same answers as single requests. Many mixed greedy requests go to one engine at
// once, and one by one to a fresh one. Where answers differ, it asks how likely the model found the other token.
import { join } from "node:path";
import sharp from "sharp";
import { Agent, request } from "undici";
import { matchContent } from "../handlers/todo-match.ts";
import { pictureCase } from "../models/demo/data/lock-questions.ts";
import { HELD_OUT } from "../models/demo/data/random.ts";
import { todoCase } from "../models/demo/data/todos.ts";
import { KamadoError } from "../worker/errors.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, whole } from "./arguments.ts";
import { type GivenOptions, startOurEngine } from "./engine-process.ts";
import { sum } from "./figures.ts";
import { programIn } from "./llama-server-process.ts";
import { factsLine, machine } from "./machine.ts";
import { smallModel } from "./models.ts";
import { promptsOf, textOf } from "./prompts.ts";
import type { Session } from "./session.ts";
import { digits, percent } from "./table.ts";

const ANSWER_TOKENS = 48;
const CONTEXT = 1_024;
const DEMO = join(import.meta.dirname, "../models/demo");
/** The most log probabilities that the API returns. */
const TOP = 20;
/** A batch adds numbers in another order. On random weights the rounding changes a probability by up to a tenth. */
const NEAR = 1.25;

const COLUMNS: Column[] = [
  { title: "" },
  { title: "requests", align: "right" },
  { title: "the same", align: "right" },
  { title: "share", align: "right" },
  { title: "near ties", align: "right" },
  { title: "likelier by, at most", align: "right" },
  { title: "unexplained", align: "right" },
];

export const identity: Bench = {
  about: "whether a batch says token for token what each request says alone; texts and pictures mixed",
  options: {
    requests: { type: "string", default: "64" },
    concurrency: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
  },
  async run(values, session) {
    const [requests, concurrency] = [whole(values, "requests"), whole(values, "concurrency")];
    const threads = whole(values, "threads");
    const facts = machine();
    session.print(`${factsLine(facts, { threads, requests, "at once": concurrency })}\n`);
    const compared: Compared[] = [];
    for (const suite of await suitesOf(requests)) {
      compared.push(await compare(suite, { threads, slots: concurrency }, session));
      process.stderr.write(`compared ${suite.name}\n`);
    }
    session.print(`${table(COLUMNS, compared.map(row))}\n`);
    session.print(summaryOf(compared));
    return { machine: facts, threads, concurrency, near: NEAR, compared };
  },
};

function row({ name, requests, same, differences }: Compared): string[] {
  const near = differences.filter(({ isNear }) => isNear);
  return [
    name,
    String(requests),
    String(same),
    percent(same / requests),
    String(near.length),
    digits(largestRatio(near), 4),
    String(differences.length - near.length),
  ];
}

type Body = Record<string, unknown> & { messages: unknown[] };
type Suite = { name: string; flags: GivenOptions; bodies: Body[] };

/** One suite for each backend. llama-server only where one is installed. */
async function suitesOf(requests: number): Promise<Suite[]> {
  const mixed = await textsAndPictures(requests);
  const llamaServer = programIn();
  return [
    await randomTexts(requests),
    demoSuite("llama-node", mixed),
    ...(llamaServer === undefined ? [] : [demoSuite("llama-server", mixed, llamaServer)]),
  ];
}

/** Texts of all lengths. Half of them have the same beginning. */
async function randomTexts(count: number): Promise<Suite> {
  const alike = promptsOf({ shared: 300, own: 60 }, Math.ceil(count / 2), 3);
  const others = Array.from({ length: Math.floor(count / 2) }, (_, at) =>
    textOf(20 + ((at * 37) % 700), 50 + at),
  );
  const texts = alike.flatMap((text, at) => [text, others[at]]).filter((text) => text !== undefined);
  const flags: GivenOptions = {
    backend: "node-llama-cpp",
    model: await smallModel("Q8_0"),
    contextSize: CONTEXT,
  };
  return { name: "random 57M, texts (node-llama-cpp)", flags, bodies: texts.map(chat) };
}

function demoSuite(backend: "llama-node" | "llama-server", bodies: Body[], llamaServer?: string): Suite {
  const [model, mmproj] = ["kamado-demo.gguf", "kamado-demo-mmproj.gguf"].map((name) => join(DEMO, name));
  const flags = { backend, model, mmproj, llamaServer, contextSize: CONTEXT };
  return { name: `demo model, texts and pictures (${backend})`, flags, bodies };
}

/** Questions of the kinds that the demo model was trained on, so that its answers mean something. Every other has a picture. */
const textsAndPictures = (count: number): Promise<Body[]> =>
  Promise.all(
    Array.from({ length: count }, async (_, at) => (at % 2 === 1 ? pictureBody(at) : todoBody(at))),
  );

const chat = (content: unknown): Body => {
  return { messages: [{ role: "user", content }], temperature: 0, max_tokens: ANSWER_TOKENS };
};

function todoBody(at: number): Body {
  const { text, todos } = todoCase(HELD_OUT + at);
  return chat(matchContent(text, todos));
}

async function pictureBody(at: number): Promise<Body> {
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

/** Asks all at once and one by one. Each time of a fresh engine, so that no cached prefix of the other run is used. */
async function compare(
  { name, flags, bodies }: Suite,
  how: { threads: number; slots: number },
  session: Session,
): Promise<Compared> {
  // All of them wait in the admission queue together.
  const common = { ...flags, ...how, maxQueue: bodies.length };
  const together = await withEngine(common, session, (ask) =>
    Promise.all(bodies.map(async (body) => textIn(await ask(body)))),
  );
  return withEngine({ ...common, slots: 1 }, session, async (ask) => {
    const differences: Difference[] = [];
    for (const [at, body] of bodies.entries()) {
      const alone = textIn(await ask(body));
      if (alone !== together[at]) differences.push(await explain(ask, body, at, alone, together[at]!));
    }
    return { name, requests: bodies.length, same: bodies.length - differences.length, differences };
  });
}

type Answer = {
  choices: [{ message: { content: string }; logprobs?: { content: AnswerToken[] } | null }];
};
type Ask = (body: Body) => Promise<Answer>;
const textIn = ({ choices }: Answer) => choices[0].message.content;

/**
 * Asks once more alone, with the log probabilities of the likeliest tokens. llama-node gives none, so its differences stay
 * unexplained.
 */
async function explain(ask: Ask, body: Body, at: number, alone: string, batch: string): Promise<Difference> {
  const answer = await ask({ ...body, logprobs: true, top_logprobs: TOP }).catch(() => undefined);
  return differenceOf(at, answer?.choices[0].logprobs?.content ?? [], alone, batch);
}

async function withEngine<T>(
  flags: GivenOptions,
  session: Session,
  use: (ask: Ask) => Promise<T>,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const engine = await startOurEngine(flags, session);
  stack.defer(() => engine.stop());
  // The last of many waiting requests gets its first byte late.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  stack.defer(() => dispatcher.close());
  return await session.during(
    use(async (body) => {
      const response = await request(`${engine.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        dispatcher,
        signal: session.signal,
      });
      if (response.statusCode === 200) return (await response.body.json()) as Answer;
      const message = `Our engine answers ${response.statusCode}: ${await response.body.text()}`;
      throw new KamadoError("engine_unavailable", message);
    }),
  );
}

/** One token of an answer, with the likeliest tokens at its place. */
export type AnswerToken = {
  token: string;
  logprob: number;
  top_logprobs: { token: string; logprob: number }[];
};
/** A request whose answer in the batch differs from the one alone. */
type Difference = {
  request: number;
  /** The tokens alone and in the batch at the first place that differs. */
  alone: string;
  batch: string;
  /** How many times likelier one token is than the other. Left out when the model does not say. */
  ratio?: number;
  isNear: boolean;
};
type Compared = { name: string; requests: number; same: number; differences: Difference[] };

/**
 * Finds the first place where two answers differ and looks up both tokens among the likeliest there. `tokens` is a third answer
 * to the same request. It may agree with either, because it comes from an engine that had the prompt in its prefix cache.
 */
export function differenceOf(
  request: number,
  tokens: readonly AnswerToken[],
  alone: string,
  batch: string,
): Difference {
  const { place, from } = placeOf(tokens, commonLength(alone, batch));
  const [one, other] = [alone, batch].map((text) =>
    firstTokenOf(text.slice(from), place?.top_logprobs ?? []),
  );
  const texts = {
    request,
    alone: one?.token ?? alone.slice(from, from + 12),
    batch: other?.token ?? batch.slice(from, from + 12),
  };
  if (!one || !other || one.token === other.token) return { ...texts, isNear: false };
  const ratio = Math.exp(Math.abs(one.logprob - other.logprob));
  return { ...texts, ratio, isNear: ratio <= NEAR };
}

function commonLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

/** The token that contains the character at `length`, and where it begins. */
function placeOf(
  tokens: readonly AnswerToken[],
  length: number,
): { place: AnswerToken | undefined; from: number } {
  let from = 0;
  for (const place of tokens) {
    if (from + place.token.length > length) return { place, from };
    from += place.token.length;
  }
  return { place: undefined, from };
}

/** The longest token that the text begins with, because one token may be the beginning of another. */
function firstTokenOf<Token extends { token: string }>(
  text: string,
  tokens: readonly Token[],
): Token | undefined {
  return tokens
    .filter(({ token }) => token !== "" && text.startsWith(token))
    .sort((a, b) => b.token.length - a.token.length)[0];
}

/** Undefined for an empty list. */
export function largestRatio(differences: readonly Difference[]): number | undefined {
  return differences.length === 0 ? undefined : Math.max(...differences.map(({ ratio = 0 }) => ratio));
}

export function summaryOf(compared: readonly Compared[]): string {
  const requests = sum(compared.map((one) => one.requests));
  const same = sum(compared.map((one) => one.same));
  const unexplained = compared.flatMap(({ differences }) => differences.filter(({ isNear }) => !isNear));
  return `the same in all: ${same} of ${requests} (${percent(same / requests)}); unexplained: ${unexplained.length}`;
}
