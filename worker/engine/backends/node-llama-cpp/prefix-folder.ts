// Where the prefixes of one model lie. A state fits nothing but the model, the cache and the library it was made with, and
// llama.cpp does not check that: the name of the folder does.
import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { getModuleVersion, type LlamaContext } from "node-llama-cpp";

const HEAD_BYTES = 1024 ** 2;

export async function prefixFolderOf(parent: string, model: string, context: LlamaContext): Promise<string> {
  const { size, mtimeMs } = await stat(model);
  const facts = [
    await getModuleVersion(),
    size,
    mtimeMs,
    context.kvCacheKeyType,
    context.kvCacheValueType,
    context.flashAttention,
  ];
  const hash = createHash("sha256")
    .update(await headOf(model))
    .update(JSON.stringify(facts));
  return join(parent, hash.digest("hex").slice(0, 24));
}

async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  return buffer.subarray(0, bytesRead);
}
