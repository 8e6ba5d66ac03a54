// How `kamado doctor` prints what it found: a word for how it is, which needs no colour; what was looked at; and below it what to do.

import { plural } from "../../amounts.ts";
import type { Finding, Status } from "../../doctor/finding.ts";
import { paint, terminalWidth, widthOf } from "../../logging/terminal.ts";
import { printable } from "../../printable.ts";

const SIGNS = { ok: "ok", warn: "warn", fail: "FAIL" } as const satisfies Record<Status, string>;
const COLOURS = { ok: "green", warn: "yellow", fail: "red" } as const satisfies Record<Status, string>;
const SIGN = 6;
const NAME = 17;
const TODO = "-> ";

export function viewFinding({ check, status, found, todo }: Finding, width = terminalWidth()): string {
  const [first = "", ...more] = wrapped(found, width - SIGN - NAME);
  const sign = SIGNS[status];
  const lines = [
    `${paint(COLOURS[status], sign)}${" ".repeat(SIGN - sign.length)}${check.padEnd(NAME)}${first}`,
    ...more.map((line) => " ".repeat(SIGN + NAME) + line),
  ];
  if (todo === undefined) return lines.join("\n");
  const [what = "", ...rest] = wrapped(todo, width - SIGN - TODO.length);
  return [
    ...lines,
    `${" ".repeat(SIGN)}${TODO}${what}`,
    ...rest.map((line) => " ".repeat(SIGN + TODO.length) + line),
  ].join("\n");
}

export function viewSummary(findings: readonly Finding[]): string {
  const count = (status: Status) => findings.filter((one) => one.status === status).length;
  const [fails, warns] = [count("fail"), count("warn")];
  if (fails + warns === 0) return paint("green", "All is well.");
  const words = [
    fails > 0 && paint("red", `${plural(fails, "check fails", "checks fail")}`),
    warns > 0 && paint("yellow", plural(warns, "warning")),
  ];
  return `${words.filter(Boolean).join(", ")}.`;
}

/** Between words; a word that is longer than a line is cut where the line ends. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const whole of printable(text).split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(whole) <= width) {
      lines[lines.length - 1] = `${last} ${whole}`;
      continue;
    }
    for (let from = 0; from < Math.max(1, whole.length); from += width)
      lines.push(whole.slice(from, from + width));
  }
  return lines;
}
