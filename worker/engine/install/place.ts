// Where llama-server lies once it is built, and which llama.cpp it is built from: the source that came with node-llama-cpp.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

// Beside the package's own code, which is all that may be asked for by name. A worker without an engine has no such package.
const sourceOf = (name: string) => new URL(`../llama/${name}`, import.meta.resolve("node-llama-cpp"));

/** llama.cpp's source, as a git bundle. */
export const bundle = (): string => fileURLToPath(sourceOf("gitRelease.bundle"));

/** The version of the source, as llama.cpp's makers call it. */
export function bundledTag(): string {
  const info = readFileSync(sourceOf("llama.cpp.info.json"), "utf8");
  return String(JSON.parse(info).tag).replaceAll(/[^\w.-]/g, "_");
}

export const folderIn = (dataDir: string) => join(dataDir, "llama-server");
export const placeOf = (dataDir: string, tag: string) => join(folderIn(dataDir), tag, "llama-server");

/** The one of this version, or else the newest there is; undefined when none was built. */
export function findLlamaServer(dataDir: string, tag: string = bundledTag()): string | undefined {
  const own = placeOf(dataDir, tag);
  if (builtAt(own) !== undefined) return own;
  const others = foldersIn(folderIn(dataDir)).map((name) => placeOf(dataDir, name));
  const built = others.filter((path) => builtAt(path) !== undefined);
  return built.sort((a, b) => builtAt(b)! - builtAt(a)!)[0];
}

function foldersIn(folder: string): string[] {
  try {
    // What begins with a dot is still being built.
    return readdirSync(folder).filter((name) => !name.startsWith("."));
  } catch {
    return [];
  }
}

function builtAt(path: string): number | undefined {
  const file = statSync(path, { throwIfNoEntry: false });
  return file?.isFile() ? file.mtimeMs : undefined;
}
