// The pages that users read, and the code blocks in them. A block that a user is to type is marked `console`: its commands begin with `$ `,
// and what follows a command is its output, where `...` stands for what varies. The line before a block that is not run here says why.
import { existsSync, globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "../..");
export const PAGES = [
  "README.md",
  ...(existsSync(join(ROOT, "README.ja.md")) ? ["README.ja.md"] : []),
  ...globSync(["docs/**/*.md", "infra/README.md", "examples/**/README.md"], { cwd: ROOT }).toSorted(),
];
export const read = (page: string) => readFileSync(join(ROOT, page), "utf8");

export type Block = {
  line: number;
  language: string;
  lines: string[];
  /** Why it is not run: `not run: …` */
  reason: string | undefined;
  /** What runs it instead: `run by FILE` */
  runBy: string | undefined;
  /** A program that it takes and Kamado does not: `needs PROGRAM` */
  needs: string | undefined;
};
export type Step = { command: string; output: string[] };

const FENCE = /^( *)```(\S*)(?: .*)?$/;
const NOTE = /^\s*<!-- (?:not run: (.+)|run by (\S+)|needs (\S+)) -->$/;

export function blocksIn(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const [, indent, language] = FENCE.exec(lines[at]!) ?? [];
    if (indent === undefined) continue;
    const end = lines.findIndex((line, index) => index > at && line === `${indent}\`\`\``);
    if (end < 0) throw new Error(`line ${at + 1}: the block has no end`);
    const [, reason, runBy, needs] = NOTE.exec(lines[at - 1] ?? "") ?? [];
    const inside = lines.slice(at + 1, end).map((line) => line.slice(indent.length));
    blocks.push({ line: at + 1, language: language!, lines: inside, reason, runBy, needs });
    at = end;
  }
  return blocks;
}

/** The commands of a `console` block. A command goes on after a `\` at the end of a line, and up to the end of its here-document. */
export function stepsIn({ lines }: Pick<Block, "lines">): Step[] {
  const steps: Step[] = [];
  let ends: ((line: string) => boolean) | null = null;
  for (const line of lines) {
    const step = steps.at(-1);
    if (ends !== null && step !== undefined) {
      step.command += `\n${line}`;
      if (ends(line)) ends = null;
    } else if (line.startsWith("$ ")) {
      steps.push({ command: line.slice(2), output: [] });
      const [, mark] = /<<'(\w+)'/.exec(line) ?? [];
      if (mark !== undefined) ends = (more) => more === mark;
      else if (line.endsWith("\\")) ends = (more) => !more.endsWith("\\");
    } else if (step !== undefined) step.output.push(line);
    else throw new Error(`"${line}" is no command`);
  }
  return steps;
}

/** Whether this is what was said. In what is expected `...` stands for any text, and on a line of its own for any lines. */
export function fits(said: string, expected: readonly string[]): boolean {
  const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  const pattern = trimmed(expected.join("\n"))
    .split("\n")
    .map((line) => (line === "..." ? "(?:.*\n)*?" : `${line.split("...").map(escaped).join(".*")}\n`));
  return new RegExp(`^${pattern.join("")}$`).test(`${trimmed(said)}\n`);
}

const trimmed = (text: string) => text.replaceAll(/[ \t\r]+$/gm, "").replaceAll(/^\n+|\n+$/g, "");

/** Code that is marked by its indentation alone, which has no language and so would not be looked at. */
export function indentedCodeIn(text: string): string[] {
  const lines = text.replaceAll(/^( *)```[\s\S]*?^\1```/gm, "").split("\n");
  return lines.filter((line, at) => /^ {4,}\S/.test(line) && lines[at - 1]?.trim() === "");
}

/** Lines that a shell would take, whatever the block says that it is. */
export function commandsIn(lines: readonly string[]): string[] {
  return lines.filter((line) =>
    /^(\$ )?(sudo|npm|npx|node|git|curl|aws|docker|podman|brew|apt|export [A-Z_]+=|\.\/kamado|(KAMADO|AWS)_\w+=\S+ \S)/.test(
      line,
    ),
  );
}
