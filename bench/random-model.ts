// The random-weight models the tables run on by default: written once and kept in the data folder.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import type { Format } from "../models/random/gguf.ts";
import { SMALL, type TextShape, TINY, writeTextModel } from "../models/random/models.ts";
import { loadConfig } from "../worker/config/config.ts";

const SEED = 7;
/** The tokenizer's first tokens are the bytes; from this one on a byte is a part of a character. */
const [FIRST_PART, LAST_BYTE] = [128, 255];

export const FORMATS = ["Q8_0", "Q4_0", "F32"] as const satisfies Format[];

/** 57 million parameters in a format of the weights; loads and costs what a trained model of this shape does. */
export const smallModel = (format: Format): Promise<string> => kept({ ...SMALL, format });
export const tinyModel = (): Promise<string> => kept(TINY);

async function kept(shape: TextShape): Promise<string> {
  const folder = join(loadConfig().dataDir, "bench");
  const path = join(folder, `${shape.name}-${(shape.format ?? "F32").toLowerCase()}-bench.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  removeStaleDrafts(path);
  // Under its name only when it is whole: a run may be cut while it writes.
  const draft = `${path}.${process.pid}`;
  writeTextModel(draft, shape, SEED);
  await mute(draft);
  renameSync(draft, path);
  return path;
}

/** What runs left that were cut while they wrote: `FILE.gguf.PID` of a process that is no more. */
export function removeStaleDrafts(path: string): void {
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    const pid = Number(name.slice(basename(path).length + 1));
    if (name.startsWith(`${basename(path)}.`) && !isRunning(pid)) rmSync(join(folder, name), { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Makes some tokens unsayable: the marks that end an answer, so that every answer is as long as was asked for, and bytes that
 * are no character by themselves, so that every answer is text. Their rows of the embedding, which also makes the logits,
 * become zeros, and among thousands of others some logit is above zero.
 */
async function mute(path: string): Promise<void> {
  const { metadata, fullTensorInfo } = await readGgufFileInfo(path, { logWarnings: false });
  const { tokens } = metadata.tokenizer.ggml;
  const [embedding, next] = fullTensorInfo!.toSorted((a, b) => Number(a.offset) - Number(b.offset));
  const rowBytes = (Number(next!.offset) - Number(embedding!.offset)) / tokens.length;
  const file = openSync(path, "r+");
  for (const [id, token] of tokens.entries())
    if (token.startsWith("<|") || (id >= FIRST_PART && id <= LAST_BYTE))
      writeSync(file, new Uint8Array(rowBytes), 0, rowBytes, Number(embedding!.fileOffset) + id * rowBytes);
  closeSync(file);
}
