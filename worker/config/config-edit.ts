// Writes the model into a kamado.toml that a person has written: one line changes, and comments and everything else stay. The result is
// read again before it counts: where it would say anything else than what was asked for, nothing is written.
import { parse } from "smol-toml";

/** The text with `model = "NAME"` in it; undefined where the file is written in a way that one line cannot change. Pure. */
export function withModel(text: string, name: string): string | undefined {
  const line = `model = ${JSON.stringify(name)}`;
  const lines = text.split("\n");
  const firstTable = lines.findIndex((one) => /^\s*\[/.test(one));
  const top = lines.slice(0, firstTable === -1 ? lines.length : firstTable);
  // The projector of the model before it does not fit this one, which knows its own.
  const before = top.map((one) => (SET_MMPROJ.test(one) ? `# ${one}` : one));
  const at = [SET_MODEL, UNSET_MODEL].map((kind) => before.findIndex((one) => kind.test(one)));
  const place = at.find((index) => index !== -1);
  if (place === undefined) before.unshift(line);
  else before[place] = line + (/(?:"|')(\s*#.*)$/.exec(before[place]!)?.[1] ?? "");
  const changed = [...before, ...lines.slice(top.length)].join("\n");
  return isRight(text, changed, name) ? changed : undefined;
}

const SET_MODEL = /^\s*(?:KAMADO_MODEL|model)\s*=/i;
const SET_MMPROJ = /^\s*(?:KAMADO_MMPROJ|mmproj)\s*=/i;
/** As `kamado init` writes it. */
const UNSET_MODEL = /^#\s*model\s*=/;

function isRight(before: string, after: string, name: string): boolean {
  try {
    const [old, now] = [others(parse(before)), others(parse(after))];
    return modelIn(parse(after)) === name && JSON.stringify(old) === JSON.stringify(now);
  } catch {
    return false;
  }
}

type Table = Record<string, unknown>;
const MODEL = /^(KAMADO_)?(MODEL|MMPROJ)$/i;
const others = (table: Table) => Object.entries(table).filter(([key]) => !MODEL.test(key));
const modelIn = (table: Table) => {
  const values = Object.entries(table).filter(([key]) => MODEL.test(key));
  return values.length === 1 ? values[0]![1] : undefined;
};
