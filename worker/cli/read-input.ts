// Reads a job's input from the command line, a file or standard input. Strings that begin with file: name files, relative to the input's own.
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { KamadoError } from "../errors.ts";
import { jsonText, parseJson } from "../job/json.ts";

/** What `--input` is, for a command's help. `inside`: what becomes of files that the input names. */
export const inputHelp = (inside: string): string =>
  `the input: JSON, a file of it, or - for standard input; "file:door.png" inside ${inside}`;

const HOW = `Give a file, - for standard input, or the JSON itself: --input '{"prompt": "Hello"}'.`;

/** `-` means standard input, and what begins as an object is the JSON itself. Throws `invalid_input`. */
export async function readInput(given: string): Promise<{ value: unknown; folder: string }> {
  const isText = given.trimStart().startsWith("{");
  const source = isText ? Buffer.from(given) : given === "-" ? await fromStdin() : await fromFile(given);
  try {
    const folder = isText || given === "-" ? process.cwd() : dirname(resolve(given));
    return { value: parseJson(jsonText(source)), folder };
  } catch (thrown) {
    const what = isText ? "--input" : `--input ${given}`;
    throw new KamadoError("invalid_input", `${what}: this is not JSON. ${whyNot(source, thrown)}`, {
      cause: thrown,
      hint: HOW,
    });
  }
}

/** The reason of JSON.parse has the line and the column. */
function whyNot(source: Uint8Array, thrown: unknown): string {
  if (source.length === 0) return "It is empty.";
  if (!(thrown instanceof SyntaxError)) return "It is neither UTF-8 nor UTF-16.";
  const ofEcho = thrown.message.startsWith("Bad control character")
    ? " The `echo` of some shells makes line ends of \\n; give the JSON itself to --input."
    : "";
  return `${thrown.message}.${ofEcho}`;
}

function fromStdin(): Promise<Uint8Array> {
  if (process.stdin.isTTY)
    process.stderr.write("kamado: type the input as JSON, then press Enter and Ctrl-D\n");
  return buffer(process.stdin);
}

const REASONS: Record<string, string> = {
  ENOENT: "there is no such file",
  EISDIR: "this is a folder",
  EACCES: "you may not read this file",
};

async function fromFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw new KamadoError("invalid_input", `--input ${path}: ${reasonOf(thrown)}.`, {
      cause: thrown,
      hint: HOW,
    });
  }
}

const reasonOf = (thrown: unknown): string => {
  const { code = "" } = thrown as NodeJS.ErrnoException;
  return REASONS[code] ?? `the file cannot be read (${code})`;
};

export type InputFile = { name: string; bytes: Uint8Array<ArrayBuffer> };

/** The value with every "file:PATH" replaced by what `place` returns for the file: a data: URI, or the file itself to be uploaded. */
export async function replaceFiles(
  value: unknown,
  folder: string,
  place: (file: InputFile) => Promise<unknown>,
): Promise<unknown> {
  if (typeof value === "string") {
    if (!value.startsWith("file:")) return value;
    const path = resolve(folder, value.slice("file:".length).replace(/^\/\//, ""));
    const bytes = await readFile(path).catch((cause) => {
      throw new KamadoError("invalid_input", `The input names ${value}: ${reasonOf(cause)} at ${path}.`, {
        cause,
        hint: "Correct the path; it is seen from the input's own file, or from the current folder.",
      });
    });
    return place({ name: basename(path), bytes });
  }
  if (Array.isArray(value)) return Promise.all(value.map((one) => replaceFiles(one, folder, place)));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(
    async ([key, one]) => [key, await replaceFiles(one, folder, place)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

export const asDataUri = async ({ bytes }: InputFile) =>
  `data:application/octet-stream;base64,${Buffer.from(bytes).toString("base64")}`;
