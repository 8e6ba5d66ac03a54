// How `kamado dead` prints dead letters. Addresses are shown without what may be a token.
import { plural } from "../../amounts.ts";
import type { DeadLetter } from "../../dead-letters/read.ts";
import {
  type Column,
  localTime,
  paint,
  shorten,
  table,
  terminalWidth,
  widthOf,
} from "../../logging/terminal.ts";
import type { Attempt } from "../../outbox/delivery-log.ts";
import type { Disabled } from "../../outbox/disabled-destinations.ts";
import { printable } from "../../printable.ts";

const moment = (at: string | null): string => (at === null ? "-" : localTime(at).slice(0, 16));
const number = (count: number | null): string => (count === null ? "-" : String(count));

export function viewList(all: readonly DeadLetter[], off: readonly Disabled[]): string {
  const parts = (["jobs", "deliveries"] as const).map((queue) => viewQueue(all, queue));
  const shown = [...parts, viewOff(off)].filter((part) => part !== "");
  return shown.length === 0 ? "no dead letters" : shown.join("\n\n");
}

function viewQueue(all: readonly DeadLetter[], queue: DeadLetter["queue"]): string {
  const own = all.filter((dead) => dead.queue === queue);
  if (own.length === 0) return "";
  const columns: Column[] = [
    { title: "ID", max: 36 },
    { title: "KIND", max: 15 },
    { title: "CODE", max: 19 },
    { title: "TRIES", align: "right" },
    { title: "LAST", max: 11 },
  ];
  const rows = own.map(({ id, kind, code, receives, lastAt, firstAt }) => [
    id,
    kind ?? "-",
    code,
    number(receives),
    moment(lastAt ?? firstAt).slice("2026-".length),
  ]);
  const [heads = "", ...lines] = fitted(columns, rows).split("\n");
  const shown = lines.map((line, index) => `${line}\n${more(own[index]!)}`);
  return `${paint("bold", queue)}  ${plural(own.length, "dead letter")}\n${[heads, ...shown].join("\n")}`;
}

/**
 * Ids of up to 36 characters, as UUIDs are, stay whole: a person copies them. Where that makes the table too wide, its last columns are
 * left out; `show` has all of it.
 */
function fitted(columns: readonly Column[], rows: readonly string[][]): string {
  const shown = table(columns, rows);
  if (columns.length < 3 || Math.max(...shown.split("\n").map(widthOf)) <= terminalWidth()) return shown;
  return fitted(
    columns.slice(0, -1),
    rows.map((row) => row.slice(0, -1)),
  );
}

const more = ({ to, reason }: DeadLetter): string =>
  below(`${to === null ? "" : `to ${to}: `}${reason.split("\n")[0]}`);

/** Below a row, for which the terminal is too narrow. A pipe gets all of it. `indented`: by how much its caller indents it. */
function below(text: string, indented = 2): string {
  const width = process.stdout.isTTY ? terminalWidth() - indented : 1_000;
  return `  ${paint("dim", shorten(printable(text), width))}`;
}

function viewOff(off: readonly Disabled[]): string {
  if (off.length === 0) return "";
  const rows = off.map(({ to, at }) => [to, moment(at)]);
  const [heads = "", ...lines] = table([{ title: "DESTINATION" }, { title: "SINCE" }], rows).split("\n");
  const shown = lines.map((line, index) => `${line}\n${below(off[index]!.reason)}`);
  return `${paint("bold", "turned off")}  ${plural(off.length, "destination")}\n${[heads, ...shown].join("\n")}`;
}

/** Everything but the body, for scripts. */
export function factsOf({ message: _, destination: __, ...facts }: DeadLetter): object {
  return facts;
}

export function viewDeadLetter(dead: DeadLetter, tries: readonly Attempt[]): string {
  const facts: [string, string | null][] = [
    ["queue", dead.queue],
    ["message", dead.messageId],
    ["from", dead.from],
    ["kind", dead.kind],
    ["to", dead.to],
    ["code", dead.code],
    ["reason", dead.reason],
    ["hint", dead.hint],
    ["first", dead.firstAt],
    ["last", dead.lastAt],
    ["tries", dead.receives === null ? null : String(dead.receives)],
    ["worker", dead.worker],
  ];
  const lines = facts.flatMap(([name, value]) =>
    value === null ? [] : [`  ${paint("dim", name.padEnd(8))}${shown(name, value)}`],
  );
  return [
    paint("bold", dead.id),
    ...lines,
    ...section(
      "errors",
      printed(tries.length > 0 ? dead.errors.filter((line) => !isTry(line)) : dead.errors),
    ),
    ...viewTries(tries),
    ...viewReceipt(dead),
  ].join("\n");
}

const shown = (name: string, value: string) =>
  name === "code" ? paint("red", printable(value)) : printable(value);

/** A job without a dead letter. */
export const viewAlive = (id: string, tries: readonly Attempt[]): string =>
  [`${paint("bold", id)}  no dead letter`, ...viewTries(tries)].join("\n");

/** A summary of a try. Where the delivery log is known, it says more. */
const isTry = (line: string) => /^\d{4}-\d\d-\d\dT/.test(line);

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0
    ? []
    : ["", `  ${paint("dim", title)}`, ...lines.map((line) => `    ${shorten(line, 200)}`)];

const printed = (lines: readonly string[]): string[] => lines.map((line) => printable(line));

function viewTries(tries: readonly Attempt[]): string[] {
  if (tries.length === 0) return [];
  const columns: Column[] = [
    { title: "AT" },
    { title: "TRY", align: "right" },
    { title: "OUTCOME", max: 28 },
    { title: "TOOK", align: "right" },
    { title: "NEXT" },
  ];
  const second = (at: string) => localTime(at).slice("2026-".length);
  const rows = tries.map(({ at, attempt, outcome, status, error, tookMs, nextAt }) => [
    second(at),
    String(attempt),
    [outcome, status ?? (outcome === "delivered" ? undefined : error)]
      .filter((part) => part !== undefined)
      .join(" "),
    `${tookMs} ms`,
    nextAt === undefined ? "" : second(nextAt),
  ]);
  const [heads = "", ...lines] = table(columns, rows).split("\n");
  const shown = lines.flatMap((line, index) => [line, below(`to ${tries[index]!.to}`, 6)]);
  return section("deliveries", [heads, ...shown]);
}

const viewReceipt = ({ receipt }: DeadLetter): string[] =>
  typeof receipt === "object" && receipt !== null
    ? section("receipt", [
        Object.entries(receipt)
          .map(([name, value]) => printable(`${name} ${value}`, { max: 200 }))
          .join(", "),
      ])
    : [];

export const viewDone = (count: number, done: string): string => `${plural(count, "dead letter")} ${done}`;
