// Reads a job's input from a file or standard input. Strings that begin with file: name files, relative to the input's own.
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { KamadoError } from "../errors.ts";
import { jsonText, parseJson } from "../job/json.ts";

/** `-` means standard input. Throws `invalid_input`. */
export async function readInput(path: string): Promise<{ value: unknown; folder: string }> {
  const source = path === "-" ? await buffer(process.stdin) : await readBytes(path);
  try {
    return {
      value: parseJson(jsonText(source)),
      folder: path === "-" ? process.cwd() : dirname(resolve(path)),
    };
  } catch {
    throw new KamadoError("invalid_input", `--input ${path}: this is not JSON (${source.length} bytes).`);
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw new KamadoError("invalid_input", `--input ${path}: the file cannot be read.`, { cause: thrown });
  }
}

export type InputFile = { name: string; bytes: Uint8Array<ArrayBuffer> };

/** The value with every "file:PATH" replaced by what `place` returns for the file: a data: URI, or the file itself to be uploaded. */
export async function replaceFiles(
  value: unknown,
  folder: string,
  place: (file: InputFile) => Promise<unknown>,
): Promise<unknown> {
  if (typeof value === "string") {
    if (!value.startsWith("file:")) return value;
    const path = resolve(folder, value.slice("file:".length).replace(/^\/\//, ""));
    const bytes = await readFile(path).catch((cause) => {
      throw new KamadoError("invalid_input", `The input names ${value}, which cannot be read.`, { cause });
    });
    return place({ name: basename(path), bytes });
  }
  if (Array.isArray(value)) return Promise.all(value.map((one) => replaceFiles(one, folder, place)));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(
    async ([key, one]) => [key, await replaceFiles(one, folder, place)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

export const asDataUri = async ({ bytes }: InputFile) =>
  `data:application/octet-stream;base64,${Buffer.from(bytes).toString("base64")}`;
