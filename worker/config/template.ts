// The text of a new kamado.toml: every setting of docs/settings.md, with what it means, commented out. Made from that page, so that a
// setting is described once.

import { keyOf } from "./config-file.ts";
import { Environment } from "./environment.ts";

const HEAD = `# The settings of Kamado. Remove the # before a line to set it; as it stands, each line is the default, and "" means unset.
# Flags of a command and variables of the environment (KAMADO_SLOTS for slots) take precedence over this file.
# Paths are seen from this file. Keep it to yourself (chmod 600) when you write a secret into it; or give the name of a file that
# holds the secret: web_token_file instead of web_token.
`;

const WIDTH = 118;

/** `page` is the text of docs/settings.md. */
export function configTemplate(page: string): string {
  const parts = page.split("\n").flatMap((line) => {
    const heading = /^##+ (.*)/.exec(line)?.[1];
    if (heading !== undefined) return [`\n# ${"-".repeat(8)} ${heading}\n`];
    const [, names, what] = /^\| (`[^|]*) \| (.*) \|$/.exec(line) ?? [];
    return names === undefined ? [] : [settings(names, what!)];
  });
  // A section of the page that has no table has no place here.
  const full = parts.filter((part, index) => !part.startsWith("\n") || parts[index + 1]?.startsWith("#"));
  return `${HEAD}${full.join("\n")}`;
}

function settings(names: string, what: string): string {
  const found = [...names.matchAll(/`((?:KAMADO|AWS|HF|OTEL)_[A-Z_]+)`(?: \[([^\]]*)\])?/g)];
  const lines = found.map(([, name, standard = ""]) => `# ${keyOf(name!)} = ${literal(name!, standard)}`);
  const note = found.find(
    ([, name, standard]) => standard !== undefined && literal(name!, standard) === '""',
  )?.[2];
  const text = plain(note === undefined ? what : `${what} [${note}]`);
  return `${comment(text)}\n${lines.join("\n")}\n`;
}

/** The default as TOML; a default in words stands in the comment. */
function literal(name: string, standard: string): string {
  const field = Environment.shape[name as keyof typeof Environment.shape];
  if (/\s/.test(standard) || !field?.safeParse(standard).success) return '""';
  return /^\d+$/.test(standard) ? standard : JSON.stringify(standard);
}

/** Without the links of Markdown and the escapes of its tables. */
const plain = (text: string) =>
  text.replaceAll(/\[([^\]]+)\]\([^)]*\)/g, "$1").replaceAll(/[`]|\\(?=\|)/g, "");

function comment(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last.length + word.length < WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(` ${word}`);
  }
  return lines.map((line) => `#${line}`).join("\n");
}
