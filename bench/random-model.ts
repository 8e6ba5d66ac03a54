// The random-weight models the tables run on by default: written once and kept in the data folder.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import type { Format } from "../models/random/gguf.ts";
import { SMALL, type TextShape, TINY, writeTextModel } from "../models/random/models.ts";
import { loadConfig } from "../worker/config.ts";

const SEED = 7;

export const FORMATS = ["Q8_0", "Q4_0", "F32"] as const satisfies Format[];

/** 57 million parameters in a format of the weights; loads and costs what a trained model of this shape does. */
export const smallModel = (format: Format): Promise<string> => kept({ ...SMALL, format });
export const tinyModel = (): Promise<string> => kept(TINY);

async function kept(shape: TextShape): Promise<string> {
  const folder = join(loadConfig().dataDir, "bench");
  const path = join(folder, `${shape.name}-${(shape.format ?? "F32").toLowerCase()}-endless.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  // Under its name only when it is whole: a run may be cut while it writes.
  const draft = `${path}.${process.pid}`;
  writeTextModel(draft, shape, SEED);
  await muteEndings(draft);
  renameSync(draft, path);
  return path;
}

/**
 * Makes the marks that end an answer unsayable, so that every answer is as long as was asked for: their rows of the
 * embedding, which also makes the logits, become zeros, and among thousands of others some logit is above zero.
 */
async function muteEndings(path: string): Promise<void> {
  const { metadata, fullTensorInfo } = await readGgufFileInfo(path, { logWarnings: false });
  const { tokens } = metadata.tokenizer.ggml;
  const [embedding, next] = fullTensorInfo!.toSorted((a, b) => Number(a.offset) - Number(b.offset));
  const rowBytes = (Number(next!.offset) - Number(embedding!.offset)) / tokens.length;
  const file = openSync(path, "r+");
  for (const [id, token] of tokens.entries())
    if (token.startsWith("<|"))
      writeSync(file, new Uint8Array(rowBytes), 0, rowBytes, Number(embedding!.fileOffset) + id * rowBytes);
  closeSync(file);
}
