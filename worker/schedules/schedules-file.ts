// The file that KAMADO_SCHEDULES_FILE names: the owner's schedules, which Kamado only reads. Owns how it is read, and that a mistake is
// said with its line.
import { readFileSync } from "node:fs";
import { KamadoError } from "../errors.ts";
import { jsonText, parseJson } from "../job/json.ts";
import type { Registry } from "../job/registry.ts";
import { readSchedule, type Schedule } from "./schedule.ts";

export type SchedulesFile = { path: string | undefined; schedules: readonly Schedule[] };

const HINT =
  'Correct the file. It is a JSON list; a schedule is {"name": "door", "cron": "*/10 * * * *", "kind": "image.check", "input": {…}} (docs/schedules.md).';

/** Without a file there are no schedules. Throws `config_invalid`, which names the line and the field. */
export function loadSchedules(path: string | undefined, registry: Registry): SchedulesFile {
  if (path === undefined) return { path, schedules: [] };
  const fail = (problem: string, cause?: unknown) =>
    new KamadoError("config_invalid", `KAMADO_SCHEDULES_FILE (${path}): ${problem}`, { cause, hint: HINT });
  const text = textOf(path, fail);
  const written = valueIn(text, fail);
  if (!Array.isArray(written)) throw fail("it must be a list of schedules: [{ … }].");
  const schedules = written.map((one, index) => {
    const read = readSchedule(one, registry);
    if ("schedule" in read) return read.schedule;
    throw fail(`line ${lineOf(text, index, read.field)}: ${read.problem}.`);
  });
  const twice = schedules.findIndex(
    ({ name }, index) => schedules.findIndex((one) => one.name === name) < index,
  );
  if (twice >= 0)
    throw fail(`line ${lineOf(text, twice, "name")}: name: there are two of "${schedules[twice]!.name}".`);
  return { path, schedules };
}

type Fail = (problem: string, cause?: unknown) => KamadoError;

function textOf(path: string, fail: Fail): string {
  try {
    return jsonText(readFileSync(path));
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    throw fail(code === undefined ? "it is not text." : `it cannot be read (${code}).`, thrown);
  }
}

function valueIn(text: string, fail: Fail): unknown {
  try {
    return parseJson(text);
  } catch (thrown) {
    throw fail(`it is not JSON: ${(thrown as Error).message}`, thrown);
  }
}

const TOKENS = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]|\n/g;

/** The line of a field of an entry of a JSON list; that of the entry where it has no such field. From 1. */
function lineOf(text: string, index: number, field: string | undefined): number {
  let [depth, entry, line, found] = [0, -1, 1, 1];
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (token === "\n") line++;
    else if (token === "{" || token === "[") {
      depth++;
      if (depth === 2 && ++entry === index) found = line;
    } else if (token === "}" || token === "]") depth--;
    else if (depth === 2 && entry === index && colon !== undefined && isKey(token, colon, field)) return line;
  }
  return found;
}

const isKey = (token: string, colon: string, field: string | undefined) =>
  token.slice(0, -colon.length) === JSON.stringify(field);
