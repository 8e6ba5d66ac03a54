// The models on this machine: KAMADO_DATA_DIR/models/NAME/ holds a model's files and model.json, which is written last and so says that
// they are complete. A GGUF file that lies in models/ itself counts as a model of its name. How they get there is left to engine/download/.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export const MANIFEST = "model.json";
/** Of a file that is not complete yet. */
export const PART = ".part";

/** What model.json holds. Read tolerantly: fields are only added. */
export type Manifest = {
  name: string;
  /** Where it came from, without what may be a secret in an address. */
  source: string;
  licence: string | null;
  /** The names of the files in its folder; of a model in several files the first. */
  model: string;
  mmproj: string | null;
  bytes: number;
  /** With one slot of 2,048 tokens, as its header says; null where that is not known. */
  memoryBytes: number | null;
  files: { file: string; bytes: number; sha256: string; checkedBy: string | null }[];
};

export type Installed = {
  name: string;
  model: string;
  mmproj: string | undefined;
  bytes: number;
  manifest: Manifest | undefined;
};
/** A download that was interrupted. */
export type Unfinished = { name: string; bytes: number };

export const modelsFolder = (dataDir: string): string => join(dataDir, "models");

/** A name is one folder or file, and no way out of models/. */
export const isModelName = (name: string): boolean => /^[A-Za-z0-9][\w.+-]{0,99}$/.test(name);

/** Undefined where no complete model of this name is here. */
export function findInstalled(dataDir: string, asked: string): Installed | undefined {
  if (!isModelName(asked)) return undefined;
  const name = spelled(dataDir, asked);
  const folder = join(modelsFolder(dataDir), name);
  const manifest = manifestIn(folder);
  if (manifest === undefined) return looseFile(dataDir, name);
  const { model, mmproj, bytes, files } = manifest;
  const needed = [model, mmproj ?? [], files.map(({ file }) => file)].flat();
  if (!needed.every((file) => isFile(join(folder, file)))) return undefined;
  return {
    name,
    model: join(folder, model),
    mmproj: mmproj === null ? undefined : join(folder, mmproj),
    bytes,
    manifest,
  };
}

/** As it is written on the disk: on a Mac `Gemma` and `gemma` are one folder, so a name is found here however it is written. */
function spelled(dataDir: string, name: string): string {
  const plain = (one: string) => one.toLowerCase().replace(/\.gguf$/, "");
  const same = namesIn(modelsFolder(dataDir)).filter((one) => plain(one) === plain(name));
  const isExact = same.some((one) => one === name || one === `${name}.gguf`);
  return isExact || same.length !== 1 ? name : same[0]!;
}

function looseFile(dataDir: string, name: string): Installed | undefined {
  const model = join(modelsFolder(dataDir), /\.gguf$/i.test(name) ? name : `${name}.gguf`);
  if (!isFile(model)) return undefined;
  const bytes = statSync(model).size;
  return { name: name.replace(/\.gguf$/i, ""), model, mmproj: undefined, bytes, manifest: undefined };
}

export function installedModels(dataDir: string): Installed[] {
  const found = namesIn(modelsFolder(dataDir)).map((name) => findInstalled(dataDir, name));
  return found.filter((one) => one !== undefined);
}

export function unfinishedModels(dataDir: string): Unfinished[] {
  return namesIn(modelsFolder(dataDir)).flatMap((name) => {
    const folder = join(modelsFolder(dataDir), name);
    if (!isModelName(name) || isFile(folder) || findInstalled(dataDir, name) !== undefined) return [];
    const files = namesIn(folder).filter((file) => file.endsWith(PART) || file.endsWith(".gguf"));
    const bytes = files.reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
    return files.length === 0 ? [] : [{ name, bytes }];
  });
}

/** What was complete in this folder once. */
export function manifestIn(folder: string): Manifest | undefined {
  try {
    const read = JSON.parse(readFileSync(join(folder, MANIFEST), "utf8")) as Partial<Manifest>;
    if (typeof read.model !== "string" || !isModelName(read.model)) return undefined;
    const mmproj = typeof read.mmproj === "string" && isModelName(read.mmproj) ? read.mmproj : null;
    const { name = "", source = "", licence = null, bytes = 0, memoryBytes = null, files = [] } = read;
    return { name, source, licence, model: read.model, mmproj, bytes, memoryBytes, files: knownFiles(files) };
  } catch {
    return undefined;
  }
}

const knownFiles = (files: unknown): Manifest["files"] =>
  Array.isArray(files) ? files.filter((one) => typeof one?.file === "string" && isModelName(one.file)) : [];

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() === true;
