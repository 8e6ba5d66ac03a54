// The child of pictures.ts: runs the same requests on llama.node with nothing kept and with what is kept by default, and
// tells what they cost. A process of its own, because the library prints prompts and ends its process when it fails. It
// works in the folder it is given, and does not outlive who gave it.
import { createHash } from "node:crypto";
import { join } from "node:path";
import sharp from "sharp";
import { type TextShape, TINY, TINY_EYES, writeEyes, writeTextModel } from "../models/random/models.ts";
import { openLlamaNode } from "../worker/engine/backends/llama-node/open.ts";
import { type Backend, type Generation, GREEDY, type Part } from "../worker/engine/generation/backend.ts";

export type Cost = { cpuSeconds: number; wallSeconds: number; cachedShare: number; encoded: number };
export type Measured = { name: string; jobs: number; without: Cost; kept: Cost; same: boolean };
/** Resident bytes after each hundred of many short requests, texts and ever new pictures. */
export type Growth = { growth: number[] };
type Job = () => Promise<Generation>;

// Costs what a trained model of its shape does; small, because the library's build for Linux is many times slower than others.
const TEXT: TextShape = {
  name: "random-7m",
  width: 256,
  layers: 6,
  heads: 8,
  kvHeads: 2,
  inner: 640,
  vocabulary: 1_024,
  contextSize: 4_096,
};
const EYES = {
  ...TINY_EYES,
  image: 224,
  patch: 14,
  width: 256,
  layers: 8,
  heads: 4,
  inner: 640,
  textWidth: 256,
};
const SLOTS = 4;
const INSTRUCTION = "Answer in one word, from what you see and read, and say nothing else at all. ".repeat(5);

const asked = (parts: Part[], more: Partial<Generation> = {}): Generation => ({
  prompt: {
    messages: [
      { role: "system", parts: [{ type: "text", text: INSTRUCTION }] },
      { role: "user", parts },
    ],
    thinking: "off",
  },
  maxTokens: 8,
  stop: [],
  schema: undefined,
  topLogprobs: undefined,
  conversation: undefined,
  sampling: GREEDY,
  ...more,
});
const text = (text: string): Part => ({ type: "text", text });

async function picture(hue: number, size = EYES.image): Promise<Part> {
  const background = { r: (hue * 53) % 256, g: (hue * 101) % 256, b: (hue * 197) % 256 };
  const data = await sharp({ create: { width: size, height: size, channels: 3, background } })
    .png()
    .toBuffer();
  const sha256 = createHash("sha256").update(data).digest("hex");
  const dataUri = `data:image/png;base64,${data.toString("base64")}`;
  return { type: "image", image: { dataUri, width: size, height: size, sha256 } };
}

const shown = (pictures: number, questions: number, more: Partial<Generation> = {}): Job[] =>
  Array.from({ length: pictures * questions }, (_, n) => async () => {
    return asked([await picture(Math.floor(n / questions)), text(`Question ${n % questions}?`)], more);
  });
const read = (count: number, more: Partial<Generation> = {}): Job[] =>
  Array.from(
    { length: count },
    (_, n) => async () => asked([text(`Question ${n}: ${"why so? ".repeat(6)}`)], more),
  );

const WORK: Record<string, Job[]> = {
  "one instruction, 24 texts": read(24),
  "4 pictures, 5 questions each": shown(4, 5),
  "8 decisions on one picture": shown(1, 8, { maxTokens: 1, topLogprobs: 5 }),
  "a text with probabilities, 16 tokens": read(2, { maxTokens: 16, topLogprobs: 5 }),
  "8 pictures, a question each": shown(8, 1),
};

async function cost(backend: Backend, jobs: readonly Job[]): Promise<Cost & { answers: string[] }> {
  const encoded = backend.state!().pictures!.encoded;
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  const waiting = [...jobs.entries()];
  const answers: string[] = [];
  let [prompt, cached] = [0, 0];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [at, job] = next;
      const prepared = await backend.prepare(await job());
      const pieces: string[] = [];
      const outcome = await prepared.run(({ text }) => pieces.push(text) > 0, new AbortController().signal);
      answers[at] = pieces.join("");
      prompt += outcome.promptTokens;
      cached += outcome.cachedTokens;
    }
  };
  await Promise.all(Array.from({ length: SLOTS }, work));
  const { user, system } = process.cpuUsage(cpu);
  return {
    cpuSeconds: (user + system) / 1e6,
    wallSeconds: (performance.now() - began) / 1_000,
    cachedShare: cached / prompt,
    encoded: backend.state!().pictures!.encoded - encoded,
    answers,
  };
}

async function grow(backend: Backend, hundreds: number): Promise<number[]> {
  const grown: number[] = [];
  for (let hundred = 0; hundred < hundreds; hundred++) {
    const jobs = Array.from({ length: 50 }, (_, n) => [
      async () => asked([await picture(hundred * 50 + n, 32), text(`Question ${n}?`)], { maxTokens: 2 }),
      async () => asked([text(`Question ${hundred} ${n}?`)], { maxTokens: 2 }),
    ]);
    await cost(backend, jobs.flat());
    grown.push(process.memoryUsage.rss());
  }
  return grown;
}

// Native threads still work, and a plain exit would take their memory away under them.
const die = () => process.kill(process.pid, "SIGKILL");
process.once("disconnect", die);
const folder = process.argv[2]!;
const [model, mmproj, tiny, tinyEyes] = ["text", "eyes", "tiny", "tiny-eyes"].map((name) =>
  join(folder, `${name}.gguf`),
) as [string, string, string, string];
writeTextModel(model, TEXT);
writeEyes(mmproj, EYES);
writeTextModel(tiny, TINY);
writeEyes(tinyEyes, TINY_EYES);
const shape = { slots: SLOTS, contextSize: 2_048, threads: 1, folder };
for (const [name, jobs] of Object.entries(WORK)) {
  const measured: (Cost & { answers: string[] })[] = [];
  for (const budgetBytes of [0, undefined]) {
    const backend = await openLlamaNode({ ...shape, model, mmproj, budgetBytes });
    measured.push(await cost(backend, jobs));
    await backend.close();
  }
  const [without, kept] = measured as [Cost & { answers: string[] }, Cost & { answers: string[] }];
  const same = JSON.stringify(without.answers) === JSON.stringify(kept.answers);
  process.send!({ name, jobs: jobs.length, without, kept, same } satisfies Measured);
}
const backend = await openLlamaNode({ ...shape, model: tiny, mmproj: tinyEyes });
process.send!({ growth: await grow(backend, 10) } satisfies Growth);
await backend.close();
process.off("disconnect", die);
process.disconnect?.();
