// The models of the tables: random weights by default, written once and kept in the data folder, or any file. Keeps the answers
// of either from ending before they are as long as was asked for.
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
import { LARGE_VOCABULARY, SMALL, type TextShape, TINY, writeTextModel } from "../models/random/models.ts";
import { isRunning } from "../worker/async/is-running.ts";
import { loadConfig } from "../worker/config/config.ts";

const SEED = 7;
/** The tokenizer's first tokens are the bytes. From 128 on a byte is only a part of a character. */
const [FIRST_PART, LAST_BYTE] = [128, 255];

export const FORMATS = ["Q8_0", "Q4_0", "F32"] as const satisfies Format[];

/** 57 million parameters. Loading and running it costs as much as a trained model of this shape. */
export const smallModel = (format: Format): Promise<string> => kept({ ...SMALL, format });
export const largeVocabularyModel = (): Promise<string> => kept(LARGE_VOCABULARY);
export const tinyModel = (): Promise<string> => kept(TINY);

async function kept(shape: TextShape): Promise<string> {
  const folder = join(loadConfig().dataDir, "bench");
  const path = join(folder, `${shape.name}-${(shape.format ?? "F32").toLowerCase()}-bench.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  removeStaleDrafts(path);
  // It gets its name only when it is complete, because a run may be interrupted while it writes.
  const draft = `${path}.${process.pid}`;
  writeTextModel(draft, shape, SEED);
  await suppressTokens(draft);
  renameSync(draft, path);
  return path;
}

/** Removes what interrupted runs left behind: `FILE.gguf.PID` of a process that is not running any more. */
export function removeStaleDrafts(path: string): void {
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    const pid = Number(name.slice(basename(path).length + 1));
    if (name.startsWith(`${basename(path)}.`) && !isRunning(pid)) rmSync(join(folder, name), { force: true });
  }
}

/**
 * Makes sure that some tokens are never chosen: the marks that end an answer, and bytes that are only a part of a character, so
 * that every answer is text. Their rows of the embedding become zeros. The embedding also gives the logits, so their logit is
 * always 0, and among thousands of other tokens one has a higher logit.
 */
async function suppressTokens(path: string): Promise<void> {
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

const NEVER = -100;
/** The type that vocabularies give to special tokens. */
const CONTROL = 3;
const END_MARK = /end|eot|eos|eom|<\/s>/i;

/** For any model: a `logit_bias` against its end marks, because not every server knows ignore_eos. */
export async function biasesAgainstEnd(model: string): Promise<Record<string, number>> {
  const { metadata } = await readGgufFileInfo(model, { sourceType: "filesystem", logWarnings: false });
  return biasesFor(metadata.tokenizer.ggml);
}

type Vocabulary = {
  tokens: readonly string[];
  token_type?: readonly number[] | undefined;
  eos_token_id?: number | undefined;
};

/** Pure. */
export function biasesFor({
  tokens,
  token_type: types,
  eos_token_id: end,
}: Vocabulary): Record<string, number> {
  const ids = tokens.flatMap((token, id) =>
    id === end || (types?.[id] === CONTROL && END_MARK.test(token)) ? [id] : [],
  );
  return Object.fromEntries(ids.map((id) => [String(id), NEVER]));
}
