// The todo in an iCalendar object (RFC 5545): reads its fields and adds to its description. Every other line stays as the server has it,
// byte for byte but for folding. Pure.

export type VTodo = { title: string; description: string; category: string | undefined; isDone: boolean };

const NAME_AND_VALUE = /^([A-Za-z0-9-]+)((?:;(?:[^:"]|"[^"]*")*)?):(.*)$/s;

/** Null when the object holds no todo. */
export function readVTodo(calendar: string): VTodo | null {
  const own = ownLines(linesOf(calendar));
  if (!own) return null;
  const field = (name: string) => {
    const line = own.find((one) => one.name === name);
    return line === undefined ? "" : unescaped(line.value);
  };
  const status = field("STATUS").toUpperCase();
  return {
    title: field("SUMMARY"),
    description: field("DESCRIPTION"),
    category: field("CATEGORIES").split(",")[0]?.trim() || undefined,
    isDone: ["COMPLETED", "CANCELLED"].includes(status) || field("COMPLETED") !== "",
  };
}

/** The object with another description. */
export function withDescription(calendar: string, description: string, now: Date): string {
  const lines = linesOf(calendar);
  const own = ownLines(lines)!;
  const changed = new Map([
    ["DESCRIPTION", `DESCRIPTION:${escaped(description)}`],
    ["LAST-MODIFIED", `LAST-MODIFIED:${stampOf(now)}`],
    ["DTSTAMP", `DTSTAMP:${stampOf(now)}`],
  ]);
  const replaced = new Map<number, string>();
  for (const { name, index } of own) {
    const line = changed.get(name);
    if (line === undefined) continue;
    replaced.set(index, line);
    changed.delete(name);
  }
  const begin = lines.findIndex((line, index) => isBegin(line) && index < own[0]!.index);
  const added = (index: number) => (index === begin ? [...changed.values()] : []);
  return joined(lines.flatMap((line, index) => [replaced.get(index) ?? line, ...added(index)]));
}

export function newVTodo(uid: string, title: string, description: string, now: Date): string {
  return joined([
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Kamado//todo.match//EN",
    "BEGIN:VTODO",
    `UID:${uid}`,
    `DTSTAMP:${stampOf(now)}`,
    `CREATED:${stampOf(now)}`,
    `SUMMARY:${escaped(title)}`,
    `DESCRIPTION:${escaped(description)}`,
    "STATUS:NEEDS-ACTION",
    "END:VTODO",
    "END:VCALENDAR",
  ]);
}

type Line = { name: string; value: string; index: number };

const linesOf = (calendar: string) =>
  calendar
    .replaceAll(/\r?\n[ \t]/g, "")
    .split(/\r?\n/)
    .filter((line) => line !== "");

const isBegin = (line: string) => /^BEGIN:VTODO\s*$/i.test(line);

/** The lines of the todo itself, without those of its alarms. Of a recurring one that is the todo that repeats, not an exception to it. */
function ownLines(lines: readonly string[]): Line[] | null {
  const todos: Line[][] = [];
  const open: string[] = [];
  for (const [index, line] of lines.entries()) {
    const [, name = "", , value = ""] = NAME_AND_VALUE.exec(line) ?? [];
    const upper = name.toUpperCase();
    if (upper === "END") open.pop();
    else if (upper !== "BEGIN" && open.at(-1) === "VTODO") todos.at(-1)!.push({ name: upper, value, index });
    if (upper !== "BEGIN") continue;
    open.push(value.trim().toUpperCase());
    if (open.at(-1) === "VTODO") todos.push([]);
  }
  const isException = (todo: Line[]) => todo.some(({ name }) => name === "RECURRENCE-ID");
  return todos.find((todo) => todo.length > 0 && !isException(todo)) ?? null;
}

const escaped = (text: string) => text.replaceAll(/[\\;,]/g, "\\$&").replaceAll(/\r?\n|\r/g, "\\n");
const unescaped = (text: string) =>
  text.replaceAll(/\\([\\;,nN])/g, (_, mark: string) => (mark.toLowerCase() === "n" ? "\n" : mark));

const stampOf = (at: Date) => at.toISOString().replaceAll(/[-:]|\.\d+/g, "");

/** A line has 75 bytes at most, and no character is cut. */
function folded(line: string): string {
  let [out, bytes] = ["", 0];
  for (const character of line) {
    const size = Buffer.byteLength(character);
    if (bytes + size > 75) [out, bytes] = [`${out}\r\n `, 1];
    out += character;
    bytes += size;
  }
  return out;
}

const joined = (lines: readonly string[]) => `${lines.map(folded).join("\r\n")}\r\n`;
