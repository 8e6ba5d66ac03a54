// A text model with random weights in a folder of the test's own, and an engine that runs it on one thread.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, type Llama } from "node-llama-cpp";
import { pino } from "pino";
import { TINY, TINY_EYES, writeEyes, writeTextModel } from "../../models/random/models.ts";
import {
  type NodeLlamaCppBackend,
  openNodeLlamaCpp,
} from "../../worker/engine/backends/node-llama-cpp/open.ts";
import { type Running, running } from "./running.ts";

export type Pair = { model: string; mmproj: string; remove(): void };

export function writePair(): Pair {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  const [model, mmproj] = [join(folder, "tiny.gguf"), join(folder, "eyes.gguf")];
  writeTextModel(model, TINY);
  writeEyes(mmproj, TINY_EYES);
  return { model, mmproj, remove: () => rmSync(folder, { recursive: true }) };
}

let library: Promise<Llama> | undefined;
/** The library, loaded once for all models of a file. */
export const sharedLibrary = () =>
  (library ??= getLlama({
    build: "never",
    gpu: false,
    progressLogs: false,
    maxThreads: 1,
    logger: () => {},
  }));

export type TinyEngine = Running & { backend: NodeLlamaCppBackend };

export async function tinyEngine(options: { slots: number; contextSize?: number }): Promise<TinyEngine> {
  const { slots, contextSize = 512 } = options;
  const pair = writePair();
  const log = pino({ level: "silent" });
  const backend = await openNodeLlamaCpp(
    { model: pair.model, slots, contextSize, llama: await sharedLibrary() },
    log,
  );
  const engine = await running(async () => backend, { slots });
  const close = async () => {
    await engine.close();
    pair.remove();
  };
  return { ...engine, backend, close };
}
