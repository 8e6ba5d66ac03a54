// The kinds that this worker knows: one file each in handlers/, found when the worker starts. A file that cannot be used costs its
// own kind alone: jobs of that kind fail with `handler_broken` and are dead-lettered, so that they run once the file is right.
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { printable } from "../printable.ts";
import type { Handler } from "./handler.ts";

/** A handler that is `broken` stands for a file that cannot be used. */
type Known = Handler & { broken?: KamadoError };
/** By kind. */
export type Registry = ReadonlyMap<string, Known>;

/** `todo-match.ts` holds the kind `todo.match`. */
export const kindOfFile = (file: string) =>
  basename(file)
    .replace(/\.[jt]s$/, "")
    .replaceAll("-", ".");

/** Loads every handler in `folder`. `onBroken` is told of each file that cannot be used, and why. */
export async function loadRegistry(
  folder: string,
  onBroken: (error: KamadoError) => void,
): Promise<Registry> {
  const files = (await readdir(folder))
    .filter((name) => /\.[jt]s$/.test(name) && !name.endsWith(".d.ts"))
    .toSorted();
  const handlers = new Map<string, Known>();
  for (const file of files) {
    const kind = kindOfFile(file);
    const first = files.find((one) => kindOfFile(one) === kind)!;
    const handler: Known =
      first !== file
        ? brokenHandler(kind, unusable(`the kind ${kind} has two files, ${first} too; keep one`), file)
        : await loadHandler(join(folder, file)).catch((thrown) => brokenHandler(kind, thrown, file));
    if (handler.broken) onBroken(handler.broken);
    handlers.set(kind, handler);
  }
  return handlers;
}

/** Found by Kamado, so that no stack helps. */
const unusable = (why: string) => new KamadoError("handler_broken", why);

/** Has the place of a handler that cannot be used, and says so to every job of its kind. */
function brokenHandler(kind: string, thrown: unknown, file: string): Known {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  const cause = thrown instanceof KamadoError ? undefined : withOwnCalls(thrown);
  const broken = new KamadoError("handler_broken", `handlers/${file}${lineOf(thrown)}: ${why}.`, { cause });
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

/** Node puts the place of what it cannot parse before the stack. */
function lineOf(thrown: unknown): string {
  const line = thrown instanceof SyntaxError && /^file:\S*:(\d+)\n/.exec(thrown.stack ?? "")?.[1];
  return line ? `:${line}` : "";
}

/** A handler may have a zod of its own. */
const isSchema = (schema: unknown): boolean => typeof (schema as z.ZodType).safeParse === "function";

async function loadHandler(path: string): Promise<Handler> {
  const file = basename(path);
  const { default: handler } = (await import(pathToFileURL(path).href)) as { default?: Partial<Handler> };
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
  if (handler.kind !== kindOfFile(file)) {
    throw unusable(`the kind is "${handler.kind}", but the file's name says "${kindOfFile(file)}"`);
  }
  return handler as Handler;
}

/** Such a failure says nothing about the job: a worker with another set of handlers may run it. */
export const isHandlerMissing = (code: string | undefined): code is "unknown_kind" | "handler_broken" =>
  code === "unknown_kind" || code === "handler_broken";

/** Of the same words wherever a kind is named: in a job, in a rule, on the command line. */
export function noSuchKind(kind: string, kinds: readonly string[]): string {
  const near = nearest(kind, kinds);
  const meant = near === undefined ? "" : `; did you mean ${near}?`;
  return `there is no "${printable(kind)}"${meant}${near === undefined ? ";" : ""} this worker knows ${kinds.join(", ")}`;
}

/** The handler of a kind. Throws `unknown_kind`, which lists the known kinds. */
export function handlerOf(registry: Registry, kind: string): Known {
  const handler = registry.get(kind);
  if (handler) return handler;
  throw new KamadoError("unknown_kind", `kind: ${noSuchKind(kind, [...registry.keys()])}.`);
}
