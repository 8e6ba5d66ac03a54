// What `bench identity` asks: texts on random weights, and texts and pictures by turns on the demo model.
import { join } from "node:path";
import sharp from "sharp";
import { matchContent } from "../handlers/todo-match.ts";
import { pictureCase } from "../models/demo/data/lock-questions.ts";
import { HELD_OUT } from "../models/demo/data/random.ts";
import { todoCase } from "../models/demo/data/todos.ts";
import type { GivenOptions } from "../worker/engine/options.ts";
import { programIn } from "./llama-server-process.ts";
import { promptsOf, textOf } from "./prompts.ts";
import { smallModel } from "./random-model.ts";

export type Body = Record<string, unknown> & { messages: unknown[] };
export type Suite = { name: string; flags: GivenOptions; bodies: Body[] };

const ANSWER_TOKENS = 48;
const CONTEXT = 1_024;
const DEMO = join(import.meta.dirname, "../models/demo");

/** One a backend; llama-server where there is one. */
export async function suitesOf(requests: number): Promise<Suite[]> {
  const mixed = await textsAndPictures(requests);
  const llamaServer = programIn();
  return [
    await randomTexts(requests),
    demoSuite("llama-node", mixed),
    ...(llamaServer === undefined ? [] : [demoSuite("llama-server", mixed, llamaServer)]),
  ];
}

/** Of all lengths; half of them begin alike. */
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

/** The demo model's own kinds of question, so that the answers mean something: every other one is about a picture. */
const textsAndPictures = (count: number): Promise<Body[]> =>
  Promise.all(Array.from({ length: count }, async (_, at) => (at % 2 === 1 ? lock(at) : todo(at))));

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
