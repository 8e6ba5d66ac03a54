// A file of variables, one `NAME=value` in a line, as systemd, Podman and `set -a; . FILE` read it. Which variables there are belongs to
// environment.ts, how the file is replaced to settings-file.ts. Pure.

/** The text with these variables, and without those that are undefined. Everything else in it stays: other variables, comments, their order. */
export function withVariables(text: string, variables: Readonly<Record<string, string | undefined>>): string {
  const left = new Map(
    Object.entries(variables).filter((one): one is [string, string] => one[1] !== undefined),
  );
  const lines = text === "" ? [] : text.replace(/\r?\n$/, "").split(/\r?\n/);
  const kept = lines.flatMap((line) => {
    const name = nameOf(line);
    if (name === undefined || !(name in variables)) return [line];
    const value = left.get(name);
    left.delete(name);
    // Of two lines with one name the last would win.
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return `${[...kept, ...[...left].map(([name, value]) => `${name}=${value}`)].join("\n")}\n`;
}

const nameOf = (line: string) => /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/.exec(line)?.[1];

/** Whether the text gives the variable a value. */
export const hasVariable = (text: string, name: string): boolean =>
  text.split(/\r?\n/).some((line) => nameOf(line) === name && !/=\s*$/.test(line));
