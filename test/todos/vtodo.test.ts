// Todos in iCalendar objects, as servers and apps write them.
import { expect, test } from "vitest";
import { newVTodo, readVTodo, withDescription } from "../../worker/todos/vtodo.ts";
import fc from "../properties.ts";

const NOW = new Date("2026-05-06T07:08:09.123Z");
const calendar = (...lines: string[]) =>
  ["BEGIN:VCALENDAR", "VERSION:2.0", ...lines, "END:VCALENDAR", ""].join("\r\n");
const todo = (...lines: string[]) => calendar("BEGIN:VTODO", "UID:1", ...lines, "END:VTODO");

test("a todo is read whatever its app writes: folded lines, parameters, escapes, bare line feeds", () => {
  const text = todo(
    'SUMMARY;LANGUAGE=en;X-A="a:b;c":Buy milk\\, eg',
    " gs\\; done?",
    "DESCRIPTION:one\\ntwo\\\\n",
    "CATEGORIES:shopping,home",
  );
  const read = {
    title: "Buy milk, eggs; done?",
    description: "one\ntwo\\n",
    category: "shopping",
    isDone: false,
  };
  expect(readVTodo(text)).toEqual(read);
  expect(readVTodo(text.replaceAll("\r\n", "\n"))).toEqual(read);
  expect(readVTodo(text.replace("BEGIN:VTODO", "begin:vtodo").replace("SUMMARY;", "Summary;"))).toEqual(read);
});

test.each([
  ["STATUS:COMPLETED", true],
  ["STATUS:CANCELLED", true],
  ["COMPLETED:20260101T000000Z", true],
  ["STATUS:IN-PROCESS", false],
  ["STATUS:NEEDS-ACTION", false],
  ["PERCENT-COMPLETE:50", false],
])("%s: done %s", (line, isDone) => expect(readVTodo(todo(line))!.isDone).toBe(isDone));

test.each(["", "hello", calendar("BEGIN:VEVENT", "SUMMARY:x", "END:VEVENT"), "BEGIN:VTODO", "END:VTODO"])(
  "what holds no todo is none: %j",
  (text) => expect(readVTodo(text)).toBeNull(),
);

test("a note changes the todo's own description; alarms, exceptions and every other line stay", () => {
  const before = calendar(
    "BEGIN:VTIMEZONE",
    "TZID:Asia/Tokyo",
    "END:VTIMEZONE",
    "BEGIN:VTODO",
    "RECURRENCE-ID:20260101T000000Z",
    "DESCRIPTION:an exception",
    "END:VTODO",
    "BEGIN:VTODO",
    "UID:1",
    "X-APPLE-SORT-ORDER:42",
    "BEGIN:VALARM",
    "DESCRIPTION:alarm",
    "END:VALARM",
    "DESCRIPTION:old",
    "RRULE:FREQ=DAILY",
    "END:VTODO",
  );
  const after = withDescription(before, "old\n\nnew, really", NOW);
  const without = (text: string, other: string) =>
    text.split("\r\n").filter((line) => !other.split("\r\n").includes(line));
  expect(without(after, before)).toEqual([
    "LAST-MODIFIED:20260506T070809Z",
    "DTSTAMP:20260506T070809Z",
    "DESCRIPTION:old\\n\\nnew\\, really",
  ]);
  expect(without(before, after)).toEqual(["DESCRIPTION:old"]);
  expect(readVTodo(after)!.description).toBe("old\n\nnew, really");
});

test("a todo without a description gets one", () => {
  const after = withDescription(todo("SUMMARY:x"), "note", NOW);
  expect(readVTodo(after)).toMatchObject({ title: "x", description: "note" });
});

test("any text comes back as it was written, in lines of at most 75 bytes", () => {
  // What iCalendar gives a meaning to, and characters of one to four bytes.
  const unit = fc.constantFrom(...'\\;,:\n nNaé漢🦀"BEGIN');
  const text = fc.string({ unit, maxLength: 120 });
  fc.assert(
    fc.property(text, text, (title, note) => {
      const made = newVTodo("u", title, note, NOW);
      expect(readVTodo(made)).toMatchObject({ title, description: note });
      expect(readVTodo(withDescription(made, title, NOW))!.description).toBe(title);
      for (const line of made.split("\r\n")) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(75);
      expect(made.match(/^BEGIN:VTODO\r$/gm)).toHaveLength(1);
    }),
  );
});

test("a long row of line breaks is read in a moment", () => {
  const text = todo(`SUMMARY:${"\r\n ".repeat(200_000)}x`, `X-A${";a".repeat(100_000)}`);
  expect(readVTodo(text)!.title).toBe("x");
});
