// A JSON log line as a person reads it: `12:03:04 info  deliver 01J… delivered to=sns:…`. Pure; a line that is no JSON stays as it is.

/** Takes one line of JSON and gives one line of text, stack traces on lines of their own below. */
export function readableLine(line: string): string {
  const fields = parse(line);
  if (!fields) return line;
  const { time, level, msg, stage, job, err, ...rest } = fields;
  const head = [String(time).slice(11, 19), String(level).padEnd(5), stage, job, msg]
    .filter(isGiven)
    .join(" ");
  const tail = Object.entries(rest).map(([name, value]) => ` ${name}=${shown(value)}`);
  return `${head}${tail.join("")}${isObject(err) ? `\n${shown(err.stack ?? err.message)}` : ""}\n`;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const isGiven = (value: unknown) => value !== undefined && value !== "";
const shown = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
