// The kinds that this worker knows: one file each in handlers/, found when the worker starts.
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { KamadoError } from "../errors.ts";
import { printable } from "../printable.ts";
import type { Handler } from "./handler.ts";

export type Registry = ReadonlyMap<string, Handler>;

/** `todo-match.ts` holds the kind `todo.match`. */
export const kindOfFile = (file: string) =>
  basename(file)
    .replace(/\.[jt]s$/, "")
    .replaceAll("-", ".");

/** Loads every handler in `folder`. Throws `config_invalid` for a file without a handler, or with a kind that its name does not say. */
export async function loadRegistry(folder: string): Promise<Registry> {
  const files = (await readdir(folder))
    .filter((name) => /\.[jt]s$/.test(name) && !name.endsWith(".d.ts"))
    .toSorted();
  const handlers = new Map<string, Handler>();
  for (const file of files) {
    const handler = await loadHandler(join(folder, file));
    if (handlers.has(handler.kind))
      throw new KamadoError("config_invalid", `${file}: the kind ${handler.kind} exists twice in handlers/.`);
    handlers.set(handler.kind, handler);
  }
  return handlers;
}

async function loadHandler(path: string): Promise<Handler> {
  const file = basename(path);
  const { default: handler } = (await import(pathToFileURL(path).href)) as { default?: Partial<Handler> };
  if (
    typeof handler?.run !== "function" ||
    !handler.input ||
    !handler.output ||
    typeof handler.kind !== "string"
  ) {
    throw new KamadoError(
      "config_invalid",
      `${file}: export a handler by default: export default defineHandler({ … }).`,
    );
  }
  if (handler.kind !== kindOfFile(file)) {
    throw new KamadoError(
      "config_invalid",
      `${file}: the kind is "${handler.kind}", but the file's name says "${kindOfFile(file)}".`,
    );
  }
  return handler as Handler;
}

/** The handler of a kind. Throws `unknown_kind`, which lists the known kinds. */
export function handlerOf(registry: Registry, kind: string): Handler {
  const handler = registry.get(kind);
  if (handler) return handler;
  throw new KamadoError(
    "unknown_kind",
    `kind: there is no "${printable(kind)}"; this worker knows ${[...registry.keys()].join(", ")}.`,
  );
}
