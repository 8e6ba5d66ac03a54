// Where llama-server is once it is built, and the source it is built from, which comes with node-llama-cpp.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

// The package exports only its code, so the path of the source is taken from there. Fails where the package is not
// installed, as in a worker without an engine.
const sourceOf = (name: string) => new URL(`../llama/${name}`, import.meta.resolve("node-llama-cpp"));

/** Whether the packages that run models are installed. */
export function canRunModels(): boolean {
  try {
    return import.meta.resolve("node-llama-cpp") !== "";
  } catch {
    return false;
  }
}

/** llama.cpp's source, as a git bundle. */
export const bundle = (): string => fileURLToPath(sourceOf("gitRelease.bundle"));

/** The source's version, as a tag of llama.cpp. */
export function bundledTag(): string {
  const info = readFileSync(sourceOf("llama.cpp.info.json"), "utf8");
  return String(JSON.parse(info).tag).replaceAll(/[^\w.-]/g, "_");
}

export const folderIn = (dataDir: string) => join(dataDir, "llama-server");
export const placeOf = (dataDir: string, tag: string) => join(folderIn(dataDir), tag, "llama-server");

/** The llama-server of this version, else the newest that was built; undefined when none was. */
export function findLlamaServer(dataDir: string, tag: string = bundledTag()): string | undefined {
  const own = placeOf(dataDir, tag);
  if (builtAt(own) !== undefined) return own;
  const others = versionsIn(folderIn(dataDir)).map((version) => placeOf(dataDir, version));
  const built = others.filter((path) => builtAt(path) !== undefined);
  return built.sort((a, b) => builtAt(b)! - builtAt(a)!)[0];
}

function versionsIn(folder: string): string[] {
  try {
    // A name that begins with a dot is a build that still runs.
    return readdirSync(folder).filter((name) => !name.startsWith("."));
  } catch {
    return [];
  }
}

function builtAt(path: string): number | undefined {
  const file = statSync(path, { throwIfNoEntry: false });
  return file?.isFile() ? file.mtimeMs : undefined;
}
