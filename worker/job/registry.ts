// The kinds that this worker knows: one file each in handlers/ and in the owner's own folder, found when the worker starts. A file that
// cannot be used costs its own kind alone: jobs of that kind fail with `handler_broken` and are dead-lettered, so that they run once
// the file is right. watch-handlers.ts exchanges handlers while a worker runs; what they may import is in handler-imports.ts.
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { printable } from "../printable.ts";
import type { Handler } from "./handler.ts";
import { offerModules } from "./handler-imports.ts";

/** A handler that is `broken` stands for a file that cannot be used. */
export type Known = Handler & { broken?: KamadoError };
/** By kind. */
export type Registry = ReadonlyMap<string, Known>;
/** What one file came to. */
export type Loaded = { file: string; handler: Known };
/** Told when the loading of a file begins; what it returns is called when it has ended. */
export type OnLoading = (file: string) => () => void;
/** Imports a file; another than the usual one can import it anew. */
export type ImportFile = (file: string) => Promise<unknown>;

const EXTENSION = /\.m?[jt]s$/;
/** `todo-match.ts` holds the kind `todo.match`. */
export const kindOfFile = (file: string) => basename(file).replace(EXTENSION, "").replaceAll("-", ".");

/** Tests stand beside their handlers, and what several handlers share begins with `_`, or is in a folder further down. */
export const isHandlerFile = (name: string) =>
  EXTENSION.test(name) && !/^[._]|\.(d|test)\.m?[jt]s$/.test(name);

/**
 * Loads every handler in Kamado's own `folder` and in that of the owner. `onBroken` is told of each file that cannot be used, and why.
 * Throws `config_invalid` when the owner's folder is not there.
 */
export async function loadRegistry(
  folder: string,
  onBroken: (error: KamadoError) => void,
  ownFolder?: string,
  onLoading?: OnLoading,
): Promise<Registry> {
  const own = ownFolder === undefined ? [] : await loadFolder(ownFolder, telling(importOwn, onLoading));
  const handlers = byKind([...(await loadFolder(folder)), ...own]);
  for (const { broken } of handlers.values()) if (broken) onBroken(broken);
  return handlers;
}

async function loadFolder(folder: string, importFile = importOnce): Promise<Loaded[]> {
  const files = await handlerFiles(folder);
  return Promise.all(files.map((file) => loadFile(file, importFile)));
}

/** Sorted, so that every start finds the same. Throws `config_invalid`. */
export async function handlerFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder);
    return entries
      .filter(isHandlerFile)
      .toSorted()
      .map((name) => join(folder, name));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such folder" : `it cannot be read (${code})`;
    throw new KamadoError("config_invalid", `KAMADO_HANDLERS: ${folder}: ${why}.`, {
      cause,
      hint: "Name the folder that has your handlers; `kamado new KIND --folder …` makes one.",
    });
  }
}

const importOnce: ImportFile = (file) => import(pathToFileURL(file).href);

const importOwn: ImportFile = (file) => {
  offerModules();
  return importOnce(file);
};

/** Says what is being loaded, for when it does not end. */
export const telling =
  (importFile: ImportFile, onLoading?: OnLoading): ImportFile =>
  async (file) => {
    const end = onLoading?.(file);
    return importFile(file).finally(end);
  };

/** An `await` at the top of a file may wait for ever, and the worker with it. */
const LONGEST_LOAD_MS = 30_000;

/** Never throws: a file that cannot be used gives a broken handler. */
export async function loadFile(
  file: string,
  importFile: ImportFile,
  longestMs = LONGEST_LOAD_MS,
): Promise<Loaded> {
  const late = new AbortController();
  const tooLong = sleep(longestMs, undefined, { signal: late.signal }).then(() => {
    throw unusable(
      `it was not loaded within ${longestMs / 1_000} s; it awaits something outside of a function`,
    );
  });
  const handler = await Promise.race([loadHandler(file, importFile), tooLong]).catch((thrown) =>
    brokenHandler(kindOfFile(file), thrown, file),
  );
  late.abort();
  tooLong.catch(() => {});
  return { file, handler };
}

/** Of two files with the same kind neither runs: nobody knows which of them is meant. */
export function byKind(all: readonly Loaded[]): Map<string, Known> {
  const groups = Map.groupBy(all, ({ file }) => kindOfFile(file));
  return new Map(
    [...groups].map(([kind, [first, second]]) => {
      if (!second) return [kind, first!.handler];
      const isBeside = dirname(first!.file) === dirname(second.file);
      const other = isBeside ? basename(first!.file) : shown(first!.file);
      const why = `the kind ${kind} has two files, ${other} too; keep one`;
      return [kind, brokenHandler(kind, unusable(why), second.file)];
    }),
  );
}

/** As the owner knows it: `handlers/prompt.ts` for what comes with Kamado. */
export const shown = (file: string) =>
  dirname(file) === HANDLERS ? `handlers/${basename(file)}` : printable(file, { max: 300 });
const HANDLERS = join(import.meta.dirname, "../../handlers");

const whyOf = (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown));

/** Where the error names the line of the file at fault; Node's message alone does not. */
function lineOf(file: string, thrown: unknown): string {
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  const rest = stack.split(`/${basename(file)}`)[1] ?? "";
  return /^(?:\?[^:\s]*)?(:\d+)/.exec(rest)?.[1] ?? "";
}

/** Found by Kamado, so that no stack helps. */
const unusable = (why: string) => new KamadoError("handler_broken", why);

/** Has the place of a handler that cannot be used, and says so to every job of its kind. */
function brokenHandler(kind: string, thrown: unknown, file: string): Known {
  const line = lineOf(file, thrown);
  const cause = thrown instanceof KamadoError ? undefined : withOwnCalls(thrown);
  const broken = new KamadoError("handler_broken", `${shown(file)}${line}: ${whyOf(thrown)}.`, { cause });
  return {
    kind,
    summary: broken.message,
    input: z.unknown(),
    output: z.unknown(),
    async run() {
      throw broken;
    },
    broken,
  };
}

/** Only the calls of the handler's file and of what it imports. */
function withOwnCalls(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown.stack === undefined) return thrown;
  const isOurs = (line: string) => /^\s+at .*(node:internal|worker\/job\/registry)/.test(line);
  const lines = thrown.stack.split("\n");
  const end = lines.findIndex((line) => line.includes("worker/job/registry"));
  thrown.stack = lines
    .slice(0, end < 0 ? undefined : end)
    .filter((line) => !isOurs(line))
    .join("\n");
  return thrown;
}

/** A handler may have a zod of its own. */
const isSchema = (schema: unknown): boolean => typeof (schema as z.ZodType).safeParse === "function";

async function loadHandler(path: string, importFile: ImportFile): Promise<Handler> {
  const { default: handler } = (await importFile(path)) as { default?: Partial<Handler> };
  if (
    typeof handler?.run !== "function" ||
    !handler.input ||
    !handler.output ||
    typeof handler.kind !== "string"
  ) {
    throw unusable("it has no handler; export one by default: export default defineHandler({ … })");
  }
  if (!isSchema(handler.input) || !isSchema(handler.output)) {
    throw unusable("input and output must be zod schemas, such as z.strictObject({ text: z.string() })");
  }
  if (handler.kind !== kindOfFile(path)) {
    throw unusable(`the kind is "${handler.kind}", but the file's name says "${kindOfFile(path)}"`);
  }
  return handler as Handler;
}

const makers = new WeakMap<object, Handler>();

/** A handler may be exchanged between the run of a job and its delivery. Both belong to the same code. */
export function keepMaker(output: unknown, handler: Handler): void {
  if (typeof output === "object" && output !== null) makers.set(output, handler);
}

/** The handler that made this output in this process; else that of the kind. Throws `unknown_kind`. */
export const makerOf = (output: unknown, registry: Registry, kind: string): Handler =>
  makers.get(output as object) ?? handlerOf(registry, kind);

/** Such a failure says nothing about the job: a worker with another set of handlers may run it. */
export const isHandlerMissing = (code: string | undefined): code is "unknown_kind" | "handler_broken" =>
  code === "unknown_kind" || code === "handler_broken";

/** Of the same words wherever a kind is named: in a job, in a rule, on the command line. */
export function noSuchKind(kind: string, kinds: readonly string[]): string {
  const near = nearest(kind, kinds);
  const meant = near === undefined ? ";" : `; did you mean ${near}?`;
  return `there is no "${printable(kind)}"${meant} this worker knows ${kinds.join(", ")}`;
}

/** The handler of a kind. Throws `unknown_kind`, which lists the known kinds. */
export function handlerOf(registry: Registry, kind: string): Known {
  const handler = registry.get(kind);
  if (handler) return handler;
  throw new KamadoError("unknown_kind", `kind: ${noSuchKind(kind, [...registry.keys()])}.`);
}
