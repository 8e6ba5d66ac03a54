// What a handler outside of this installation may import without installing it: kamado/handler, kamado/testing and zod, which are
// those of this installation. Owns the resolution of these names, and importing a file anew with all that it imports.
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

/** In package.json `exports` says which file each name of Kamado is. */
const OFFERED = /^(kamado|zod)(\/|$)/;
/** A package that somebody has installed has its own dependencies. */
const isPackage = (url = "") => url.includes("/node_modules/");

/** A part of the worker must not be there twice. */
const isOurs = (url: string) => url.startsWith(WORKER);
const WORKER = new URL("../", import.meta.url).href;

let isOffering = false;

/** From now on this process finds these names wherever a file is that imports them. */
export function offerModules(): void {
  if (isOffering) return;
  isOffering = true;
  registerHooks({
    resolve(name, context, next) {
      const isOffered = OFFERED.test(name) && !isPackage(context.parentURL);
      // Handlers and worker must have the same zod, so one that is installed beside the handler does not count.
      if (isOffered) return next(name, { ...context, parentURL: import.meta.url });
      const edition = editionOf(context.parentURL);
      return asModule(edition ? resolveIn(edition, name, context, next) : next(name, context));
    },
  });
}

/** `npm init` writes "type": "commonjs", and many folders have no package.json. A handler in TypeScript is a module all the same. */
const asModule = <F extends { url: string }>(found: F): F =>
  /\.ts(\?|$)/.test(found.url) && !isPackage(found.url) ? { ...found, format: "module-typescript" } : found;

/** All that one import of a file has loaded, itself included. A handler that was exchanged keeps the edition it was loaded with. */
export type Edition = {
  id: string;
  /** What each file held. `null`: there was none. */
  files: Map<string, string | null>;
  isOver: boolean;
};

const MARK = "kamado-edition";
const editions = new Map<string, Edition>();
let count = 0;

function editionOf(url = ""): Edition | undefined {
  if (!url.includes(MARK)) return undefined;
  return editions.get(new URL(url).searchParams.get(MARK) ?? "");
}

/**
 * Imports a file as it is now, and so the files that it imports; installed packages and what this installation offers stay as they are.
 * Node never forgets a module: each edition costs its own size in memory until the process ends.
 */
export async function importAnew(file: string, edition: Edition): Promise<unknown> {
  offerModules();
  editions.set(edition.id, edition);
  edition.files.set(file, hashOf(file));
  const real = realpathSync(file);
  edition.files.set(real, hashOf(real));
  return import(marked(pathToFileURL(real).href, edition));
}

export const newEdition = (): Edition => ({ id: String(++count), files: new Map(), isOver: false });

/** Whether every file of the edition is as it was when the edition was loaded. */
export const isCurrent = ({ files }: Edition): boolean =>
  [...files].every(([file, hash]) => hashOf(file) === hash);

type Resolve = Parameters<typeof registerHooks>[0]["resolve"] & {};
type Context = Parameters<Resolve>[1];
type Next = Parameters<Resolve>[2];

function resolveIn(edition: Edition, name: string, context: Context, next: Next) {
  const isFile = /^(\.{0,2}\/|file:)/.test(name);
  const wanted = isFile ? new URL(name, context.parentURL) : undefined;
  try {
    const found = next(name, context);
    if (!found.url.startsWith("file:") || isPackage(found.url) || isOurs(found.url)) return found;
    remember(edition, fileURLToPath(found.url));
    return { ...found, url: marked(found.url, edition) };
  } catch (thrown) {
    // A file that is made later mends the import.
    if (wanted) remember(edition, fileURLToPath(wanted));
    throw thrown;
  }
}

/** A job that still runs on older code must not load newer code into it. */
function remember({ files, isOver }: Edition, file: string): void {
  if (files.has(file)) return;
  const hash = hashOf(file);
  if (isOver)
    throw new Error(
      `${file} was imported after the handler had changed; the job is tried again on the new code`,
    );
  files.set(file, hash);
}

function marked(url: string, { id }: Edition): string {
  const own = new URL(url);
  own.searchParams.set(MARK, id);
  return own.href;
}

export function hashOf(file: string): string | null {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("base64");
  } catch {
    return null;
  }
}
