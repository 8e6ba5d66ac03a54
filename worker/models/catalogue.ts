// The catalogue of models that have a name here: models/catalogue.json, and what is said of a name that is not in it. Where their files
// are and how they get here is left to engine/download/.
import { readFileSync } from "node:fs";
import { nearest } from "../nearest.ts";

export type CatalogueFile = {
  file: string;
  /** Null where nobody reported it. */
  bytes: number | null;
  /** How well `bytes` is known; nothing of it was measured here. */
  bytesAre: "reported" | "rounded" | "unknown";
  sha256: string | null;
};

export type CatalogueModel = {
  name: string;
  title: string;
  for: string;
  licence: string;
  licenceVerified: boolean;
  /** On Hugging Face. */
  repo: string;
  model: CatalogueFile;
  mmproj: CatalogueFile | null;
};

const FILE = new URL("../../models/catalogue.json", import.meta.url);
let read: readonly CatalogueModel[] | undefined;

export function catalogue(): readonly CatalogueModel[] {
  read ??= (JSON.parse(readFileSync(FILE, "utf8")) as { models: CatalogueModel[] }).models;
  return read;
}

/** Names are read as people write them: `Gemma-4-E4B` and `gemma4:e4b` are `gemma-4-e4b`. */
export function inCatalogue(name: string): CatalogueModel | undefined {
  return catalogue().find((model) => plain(model.name) === plain(name));
}

const plain = (name: string) => name.toLowerCase().replaceAll(/[-_:. ]/g, "");

/** The name in the catalogue or in `others` that was most likely meant. */
export function nearestModel(asked: string, others: readonly string[] = []): string | undefined {
  const known = inCatalogue(asked)?.name;
  if (known !== undefined) return known;
  const names = [...catalogue().map(({ name }) => name), ...others];
  return nearest(asked.toLowerCase().replaceAll(/[:_ ]/g, "-"), names) ?? familyOf(asked, names);
}

/** `gemma3:4b` and `qwen` are far from every name by their letters, and begin like one. */
function familyOf(asked: string, names: readonly string[]): string | undefined {
  const family = /^[a-z]{3,}/i.exec(asked)?.[0].toLowerCase();
  return family === undefined ? undefined : names.find((name) => name.toLowerCase().startsWith(family));
}
