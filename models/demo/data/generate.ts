// Writes the training data: node models/demo/data/generate.ts OUTDIR [SESSIONS] [PICTURES]
// sessions.jsonl (text), pictures.rgb (SIDE x SIDE x 3 bytes each, as clip leaves them), pictures.jsonl (their meta),
// lock-sessions.jsonl (questions about any picture with such a meta: training turns the pictures).
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { toSquare } from "./clip.ts";
import { pictureSize } from "./lock-questions.ts";
import { COLOUR_NAMES, drawLock } from "./locks.ts";
import { random } from "./random.ts";
import { lockSession, TRAINING, textSession } from "./sessions.ts";

/** Writes one chunk for each seed, in order, and waits while the disk is slower. */
async function write(
  path: string,
  count: number,
  chunk: (seed: number) => string | Uint8Array,
): Promise<void> {
  const stream = createWriteStream(path);
  for (let seed = 0; seed < count; seed++)
    if (!stream.write(chunk(seed))) await new Promise((resolve) => stream.once("drain", resolve));
  stream.end();
  await finished(stream);
  console.log(`${path}: ${count}`);
}

const lock = (seed: number) => drawLock({ seed, ...pictureSize(random(seed, "size")) });

function lockQuestions(seed: number): string {
  const r = random(seed, "meta");
  const meta = {
    present: r.chance(0.85),
    orientation: r.pick(["horizontal", "vertical"] as const),
    colour: r.pick(COLOUR_NAMES),
  };
  return `${JSON.stringify({ meta, session: lockSession(seed, meta) })}\n`;
}

const [directory, sessions = TRAINING.sessions, pictures = TRAINING.pictures] = process.argv.slice(2);
if (!directory) throw new Error("usage: generate.ts OUTDIR [SESSIONS] [PICTURES]");
mkdirSync(directory, { recursive: true });

await write(
  join(directory, "sessions.jsonl"),
  Number(sessions),
  (seed) => `${JSON.stringify(textSession(seed))}\n`,
);
const metas: string[] = [];
await write(join(directory, "pictures.rgb"), Number(pictures), (seed) => {
  const picture = lock(seed);
  metas.push(JSON.stringify(picture.meta));
  return toSquare(picture).rgb;
});
await write(join(directory, "pictures.jsonl"), metas.length, (seed) => `${metas[seed]}\n`);
await write(join(directory, "lock-sessions.jsonl"), Number(pictures), lockQuestions);
