// The inputs of `kamado map`: what its arguments name, as inputs of a kind, one after another. A file is read when its turn comes. What is
// wrong with one costs only itself; what is wrong with the command is thrown. Rows are rows.ts's, fields are fields.ts's.
import { glob, readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { KamadoError, toKamadoError } from "../../errors.ts";
import { decodeText } from "../../http/text-encoding.ts";
import { checkInput } from "../../job/check-values.ts";
import type { Handler } from "../../job/handler.ts";
import { jsonText, parseJson } from "../../job/json.ts";
import { nearest } from "../../nearest.ts";
import { replaceFiles } from "../read-input.ts";
import { type FileType, fieldsOf, type KindFields, placeOf, typeOfFile } from "./fields.ts";
import { csvRows, decoded, jsonLines, notText, plainLines, type Row, textOf } from "./rows.ts";

export const FORMATS = ["file", "lines", "jsonl", "json", "csv"] as const;
export type Format = (typeof FORMATS)[number];

/** `source` names it: a file, or a file and a line. `hash`: of all that decides what comes of it. */
export type Item = { source: string } & (
  | { input: unknown; id: string | undefined; hash: string; error?: never }
  | { error: KamadoError }
);

export type InputOptions = {
  kind: string;
  /** Undefined for a kind that only the workers know: then nothing is checked here. */
  handler: Handler | undefined;
  /** Of an input: what decides what comes of it. */
  digest(input: unknown): Promise<string>;
  /** Fields that every input has. */
  common: Record<string, unknown>;
  as: string | undefined;
  format: Format | undefined;
  maxBytes: number;
};

const STDIN = "-";
const natural = new Intl.Collator("en", { numeric: true });

/**
 * The files that the arguments name, each once: folders with all that is in them, patterns with what fits. The file of results, which may
 * be among them when the command is given again, is none of them.
 */
export async function filesIn(
  given: readonly string[],
  { cwd = process.cwd(), out }: { cwd?: string; out?: string | undefined } = {},
): Promise<string[]> {
  const all: string[] = [];
  for (const one of given) all.push(...(await filesOf(one, cwd)));
  const own = out === undefined ? [] : [out, `${out}.part`].map((path) => resolve(cwd, path));
  return [...new Set(all)].filter((file) => !own.includes(resolve(cwd, file)));
}

async function filesOf(given: string, cwd: string): Promise<string[]> {
  if (given === STDIN) return [given];
  const found = await stat(resolve(cwd, given)).catch(() => undefined);
  if (found?.isDirectory()) return inFolder(given, cwd);
  if (found) return [given];
  const isPattern = /[*?[{]/.test(given);
  const fitting = isPattern ? await allOf(glob(given, { cwd })) : [];
  const files: string[] = [];
  for (const one of fitting.filter((path) => !isHidden(path) || isHidden(given)).sort(byPath))
    if ((await stat(resolve(cwd, one)).catch(() => undefined))?.isFile()) files.push(one);
  if (files.length > 0) return files;
  throw new KamadoError(
    "invalid_input",
    `${given}: ${isPattern ? "no file fits" : "there is no such file or folder"}.`,
    {
      hint: "Give files, folders, patterns in quotation marks, or - for standard input.",
    },
  );
}

async function inFolder(folder: string, cwd: string): Promise<string[]> {
  const entries = await readdir(resolve(cwd, folder), { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((one) => one.isFile() || one.isSymbolicLink())
    .map((one) => relative(resolve(cwd, folder), join(one.parentPath, one.name)))
    .filter((path) => !isHidden(path))
    .sort(byPath)
    .map((path) => join(folder, path));
  const files: string[] = [];
  // A link may lead to a folder, and round in a circle.
  for (const path of paths)
    if ((await stat(resolve(cwd, path)).catch(() => undefined))?.isFile()) files.push(path);
  if (files.length > 0) return files;
  throw new KamadoError("invalid_input", `${folder}: there is no file in this folder.`);
}

async function allOf<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of all) found.push(one);
  return found;
}

const isHidden = (path: string) => path.split(sep).some((name) => /^\.[^./]/.test(name));

/** As people count: 2 before 10, in each folder. */
function byPath(one: string, other: string): number {
  const [a, b] = [one.split(sep), other.split(sep)];
  const at = a.findIndex((name, index) => name !== b[index]);
  if (at < 0) return a.length - b.length;
  return natural.compare(a[at]!, b[at] ?? "");
}

export class Inputs {
  readonly #files: readonly string[];
  readonly #options: InputOptions;
  readonly #fields: KindFields;

  constructor(files: readonly string[], options: InputOptions) {
    this.#files = files;
    this.#options = options;
    this.#fields = fieldsOf(options.kind, options.handler);
    const unknown = Object.keys(options.common).find((name) => this.#fields.names?.includes(name) === false);
    if (unknown !== undefined) throw this.#noField(`--input: ${unknown}`, unknown);
    for (const type of new Set(files.map((file) => this.#typeOf(file))))
      if (!["csv", "json", "jsonl", "stdin"].includes(type)) this.#placeOf(type as FileType);
  }

  /**
   * How many there are, where that can be known before: standard input is read once. Throws what is wrong with a file as a whole, and
   * gives the first of the rows that are wrong.
   */
  async count(): Promise<{ total: number; wrong: number; first: Item[] } | null> {
    if (this.#files.includes(STDIN)) return null;
    let [total, wrong] = [0, 0];
    const first: Item[] = [];
    for (const file of this.#files) {
      const type = this.#typeOf(file);
      if (!["csv", "json", "jsonl", "lines"].includes(type)) {
        total += 1;
        continue;
      }
      for await (const item of this.#rowsIn(file, type)) {
        total += 1;
        if (!item.error) continue;
        wrong += 1;
        if (first.length < 3) first.push(item);
      }
    }
    return { total, wrong, first };
  }

  async *items(): AsyncGenerator<Item> {
    for (const file of this.#files) {
      const type = this.#typeOf(file);
      if (type === "stdin") yield* this.#fromStdin();
      else if (["csv", "json", "jsonl", "lines"].includes(type)) yield* this.#rowsIn(file, type);
      else yield await this.#whole(file, type as FileType);
    }
  }

  #typeOf(file: string): FileType | "lines" | "stdin" {
    const { format, as } = this.#options;
    if (format === "file" || (format === undefined && as !== undefined && file !== STDIN)) {
      // Its field is said, so that a table, too, is a file as any other.
      const type = typeOfFile(file);
      return ["csv", "json", "jsonl"].includes(type) ? "text" : type;
    }
    if (format !== undefined) return format;
    return file === STDIN ? "stdin" : typeOfFile(file);
  }

  #placeOf(type: FileType) {
    const { as, common } = this.#options;
    return placeOf(type, { ...this.#fields, as, given: new Set(Object.keys(common)) });
  }

  #noField(what: string, name: string): KamadoError {
    const { kind, names } = this.#fields;
    const close = nearest(name, names ?? []);
    const hint = close === undefined ? `it has ${names?.join(", ")}` : `did you mean ${close}?`;
    return new KamadoError("invalid_input", `${what} is no field of ${kind}; ${hint}.`, {
      hint: `\`kamado kinds ${kind}\` shows the fields.`,
    });
  }

  async #whole(file: string, type: FileType): Promise<Item> {
    try {
      const { field, upload } = this.#placeOf(type);
      const { size } = await stat(file);
      const { maxBytes } = this.#options;
      if (size > maxBytes)
        throw new KamadoError("input_too_large", `this file has ${size} bytes, more than ${maxBytes}.`);
      const bytes = await readFile(file);
      if (upload) return await this.#item(file, { [field]: new File([bytes], basename(file)) });
      const text = decodeText(bytes);
      if (text === null) throw notText(file);
      return await this.#item(file, { [field]: text });
    } catch (thrown) {
      return { source: file, error: toKamadoError(thrown, "invalid_input") };
    }
  }

  async *#fromStdin(): AsyncGenerator<Item> {
    const text = await allOf(decoded(process.stdin, "standard input"));
    // What begins as an object is lines of JSON; everything else is one text.
    const whole = text.join("");
    if (/^\s*\{/.test(whole)) return yield* this.#eachRow(jsonLines(this.#of(whole)), "stdin", process.cwd());
    const { field } = this.#placeOf("text");
    yield await this.#item("stdin", { [field]: whole });
  }

  async *#of(text: string): AsyncGenerator<string> {
    yield text;
  }

  #rowsIn(file: string, type: string): AsyncGenerator<Item> {
    const text = file === STDIN ? decoded(process.stdin, "standard input") : textOf(file);
    const source = file === STDIN ? "stdin" : file;
    const folder = file === STDIN ? process.cwd() : dirname(resolve(file));
    if (type === "json") return this.#json(text, source, folder);
    if (type === "jsonl") return this.#eachRow(jsonLines(text), source, folder);
    if (type === "csv")
      return this.#eachRow(
        csvRows(text, (names) => this.#checkNames(source, names)),
        source,
        folder,
      );
    const { field } = this.#placeOf("text");
    return this.#eachRow(plainLines(text), source, folder, (line) => ({ [field]: line }));
  }

  #checkNames(source: string, names: readonly string[]): void {
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (twice !== undefined)
      throw new KamadoError("invalid_input", `${source}: two columns have the name ${twice}.`);
    const unknown = names.find((name) => this.#fields.names?.includes(name) === false);
    if (unknown !== undefined) throw this.#noField(`${source}: the column ${unknown}`, unknown);
  }

  async *#json(text: AsyncIterable<string>, source: string, folder: string): AsyncGenerator<Item> {
    const all = (await allOf(text)).join("");
    let value: unknown;
    try {
      value = parseJson(jsonText(Buffer.from(all)));
    } catch (thrown) {
      const error = new KamadoError("invalid_input", `this is not JSON: ${(thrown as Error).message}.`);
      return yield { source, error };
    }
    if (!Array.isArray(value)) return yield await this.#row(source, value, folder);
    for (const [at, one] of value.entries()) yield await this.#row(`${source}[${at}]`, one, folder);
  }

  async *#eachRow(
    rows: AsyncIterable<Row>,
    source: string,
    folder: string,
    toInput: (value: unknown) => unknown = (value) => value,
  ): AsyncGenerator<Item> {
    for await (const row of rows) {
      const name = `${source}:${row.at}`;
      if ("error" in row) yield { source: name, error: row.error };
      else yield await this.#row(name, toInput(row.value), folder);
    }
  }

  /** An input, or `{ id, input }`. */
  async #row(source: string, value: unknown, folder: string): Promise<Item> {
    try {
      if (typeof value !== "object" || value === null || Array.isArray(value))
        throw new KamadoError("invalid_input", "expected an object: the fields of the input.");
      const isItem =
        "input" in value && Object.keys(value).every((name) => name === "id" || name === "input");
      const { id, input } = isItem ? (value as { id?: unknown; input: unknown }) : { input: value };
      if (id !== undefined && typeof id !== "string")
        throw new KamadoError("invalid_input", "id: expected a string.");
      return await this.#item(source, await this.#withFiles(input as object, folder), id);
    } catch (thrown) {
      return { source, error: toKamadoError(thrown, "invalid_input") };
    }
  }

  /** `file:` names one; in a field that the worker fetches, a path does too. */
  #withFiles(input: object, folder: string): Promise<unknown> {
    const entries = Object.entries(input).map(([name, value]) => {
      const isPath =
        this.#fields.fetched.has(name) && typeof value === "string" && !/^[a-z][a-z\d+.-]+:/i.test(value);
      return [name, isPath ? `file:${value}` : value] as const;
    });
    return replaceFiles(
      Object.fromEntries(entries),
      folder,
      async ({ name, bytes }) => new File([bytes], name),
    );
  }

  async #item(source: string, own: unknown, id?: string): Promise<Item> {
    const { handler, common, digest } = this.#options;
    const input = { ...common, ...(own as object) };
    if (handler) checkInput(handler.input, withPlaceholders(input));
    return { source, input, id, hash: await digest(input) };
  }
}

/** As a worker would read it: with an address in place of each file. */
function withPlaceholders(value: unknown): unknown {
  if (value instanceof Blob) return "s3://kamado/in/file";
  if (Array.isArray(value)) return value.map(withPlaceholders);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withPlaceholders(one)]));
}
