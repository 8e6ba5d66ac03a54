// The rows of tables and the lines of JSON files, one after another, however long the file is. Owns the character set, the marks between
// fields and what is wrong with a row: that is said with its line, and costs only itself. What a row means is inputs.ts's.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type CsvError, type Info, parse } from "csv-parse";
import { KamadoError } from "../../errors.ts";
import { decodeText } from "../../http/text-encoding.ts";
import { parseJson } from "../../job/json.ts";

/** `at`: the line, from 1. */
export type Row = { at: number } & ({ value: unknown } | { error: KamadoError });

/** Up to here a file is read as a whole, so that its character set can be found; a longer one has to be UTF-8. */
const WHOLE = 50_000_000;

export async function* textOf(path: string): AsyncGenerator<string> {
  const { size } = await stat(path);
  if (size > WHOLE) return yield* decoded(createReadStream(path), path);
  const text = decodeText(await readFile(path));
  if (text === null) throw notText(path);
  yield text;
}

/** UTF-8, as it comes. */
export async function* decoded(bytes: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (thrown) {
    throw thrown instanceof TypeError ? notText(path) : thrown;
  }
}

export const notText = (path: string) =>
  new KamadoError("invalid_input", `${path}: this is no text in a character set that is known.`, {
    hint: "Save it as UTF-8. If the file is to be uploaded as it is, say which field gets it: --as FIELD.",
  });

const isEmpty = (text: string) => /^\s*$/.test(text);

export async function* linesOf(text: AsyncIterable<string>): AsyncGenerator<{ at: number; line: string }> {
  let [rest, at] = ["", 0];
  for await (const chunk of text) {
    // Not at U+2028, which JSON may hold.
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield { at: ++at, line: line.replace(/\r$/, "") };
  }
  if (rest !== "") yield { at: at + 1, line: rest };
}

export async function* jsonLines(text: AsyncIterable<string>): AsyncGenerator<Row> {
  for await (const { at, line } of linesOf(text)) {
    if (isEmpty(line)) continue;
    try {
      yield { at, value: parseJson(line) };
    } catch (thrown) {
      const error = new KamadoError("invalid_input", `this line is not JSON: ${(thrown as Error).message}.`);
      yield { at, error };
    }
  }
}

export async function* plainLines(text: AsyncIterable<string>): AsyncGenerator<Row> {
  for await (const { at, line } of linesOf(text)) if (!isEmpty(line)) yield { at, value: line };
}

/** Each row as an object of its cells by the names of the first row; a cell that is empty is left out. Throws what is wrong with the first row. */
export async function* csvRows(
  text: AsyncIterable<string>,
  checkNames: (names: readonly string[]) => void,
): AsyncGenerator<Row> {
  let names: readonly string[] | undefined;
  for await (const row of recordsOf(text)) {
    if ("error" in row) yield row;
    else if (names) yield { at: row.at, ...cellsOf(names, row.record) };
    else {
      names = row.record.map((name) => name.trim());
      checkNames(names.filter((name) => name !== ""));
    }
  }
}

type Parsed = { record: string[]; info: Info };
type Numbered = { at: number } & ({ record: string[] } | { error: KamadoError });

async function* recordsOf(text: AsyncIterable<string>): AsyncGenerator<Numbered> {
  const { first, all } = await peek(text);
  let skipped: CsvError | undefined;
  const parser = parse({
    ...{ bom: true, info: true, delimiter: delimiterOf(first) },
    // A row with too many cells, or too few, is named and not the end of it.
    ...{ relax_column_count: true, relax_quotes: true, skip_empty_lines: true },
    skip_records_with_error: true,
    on_skip: (error?: CsvError) => {
      skipped = error;
    },
  });
  const reading = pipeline(Readable.from(all), parser);
  reading.catch(() => {});
  let last = { lines: 0, empty_lines: 0 };
  for await (const { record, info } of parser as AsyncIterable<Parsed>) {
    // A row begins after the one before it; the parser says where it ends.
    yield { record, at: last.lines + 1 + (info.empty_lines - last.empty_lines) };
    last = info;
  }
  await reading;
  // The rest of the file.
  if (skipped) yield { at: last.lines + 1, error: new KamadoError("invalid_input", whyNot(skipped)) };
}

const whyNot = (error: CsvError) =>
  error.code === "CSV_QUOTE_NOT_CLOSED"
    ? "a quotation mark is opened here and never closed: nothing after it can be read."
    : `this row cannot be read: ${error.message}.`;

async function peek(text: AsyncIterable<string>): Promise<{ first: string; all: AsyncIterable<string> }> {
  const iterator = text[Symbol.asyncIterator]();
  const begin = await iterator.next();
  const first = begin.done ? "" : begin.value;
  async function* all() {
    yield first;
    yield* { [Symbol.asyncIterator]: () => iterator };
  }
  return { first, all: all() };
}

/** Spreadsheets write `;` where a comma stands in numbers. */
function delimiterOf(text: string): string {
  const line = /^[^\r\n]*/.exec(text)![0].replaceAll(/"[^"]*"/g, "");
  const count = (mark: string) => line.split(mark).length;
  return [",", ";", "\t"].reduce((most, mark) => (count(mark) > count(most) ? mark : most));
}

function cellsOf(
  names: readonly string[],
  record: readonly string[],
): { value: unknown } | { error: KamadoError } {
  const isTooLong = record.some((cell, at) => cell !== "" && !names[at]);
  if (isTooLong || record.length < names.length) {
    const words = `this row has ${record.length} cells, and the first row names ${names.length}`;
    return { error: new KamadoError("invalid_input", `${words}.`) };
  }
  const entries = record.flatMap((cell, at) => (cell === "" ? [] : [[names[at]!, cell] as const]));
  return { value: Object.fromEntries(entries) };
}
