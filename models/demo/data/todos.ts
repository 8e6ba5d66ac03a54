// Todo lists, and sentences that mean one of the todos or none: input for todo.match with the expected answer.
import { firstName, word } from "./invented.ts";
import { type Random, random } from "./random.ts";
import {
  CLOSINGS,
  GENERAL,
  JAPANESE_REMARKS,
  JAPANESE_TITLES,
  OPENINGS,
  REMARKS,
  TITLES,
  WHEN,
} from "./todo-phrases.ts";
import { CATEGORIES, type Deed, THINGS, type Thing } from "./todo-words.ts";

export type DemoTodo = { id: string; title: string; category?: string };
/** A sentence, where in it the thing's name ends, and the title of a new todo for it. */
export type Remark = { text: string; mentionEnd: number; title: string };
export type TodoCase = { text: string; todos: DemoTodo[]; expected: string };
export type TitleCase = { text: string; expected: string };

/** What a todo is about. Two things in one todo are one subject: a sentence may mention either. */
type Subject = Thing & { inTitle?: (r: Random) => string };

/** Subjects that have nothing in common. */
function subjects(r: Random): () => Subject {
  const used = new Set<Thing | string>();
  const unused = (things: readonly Thing[]) => things.filter((thing) => !used.has(thing));
  const known = (): Subject => {
    const thing = r.pick(unused(THINGS));
    used.add(thing);
    if (!r.chance(0.15)) return thing;
    const other = r.pick(unused(THINGS.filter(({ deed }) => deed === thing.deed)));
    used.add(other);
    return {
      deed: thing.deed,
      english: [...thing.english, ...other.english],
      japanese: [...thing.japanese, ...other.japanese],
      inTitle: (random) => `${random.pick(thing.english)} and ${random.pick(other.english)}`,
    };
  };
  const invented = (): Subject => {
    const isPerson = r.chance(0.5);
    const name = isPerson ? firstName(r) : r.pick(["", "", "a ", "the ", "some "]) + word(r);
    if (used.has(name)) return invented();
    used.add(name);
    const deed = isPerson ? "meet" : r.pick(["buy", "call", "pay", "fix", "clean", "book", "write"] as const);
    return { deed, english: [name], japanese: [] };
  };
  return () => (r.chance(0.64) ? known() : invented());
}

const fill = (template: string, thing: string) => template.replace("{o}", thing);

function todoTitle(r: Random, subject: Subject, isJapanese: boolean): string {
  const templates = JAPANESE_TITLES[subject.deed];
  if (isJapanese && templates && subject.japanese.length > 0)
    return fill(r.pick(templates), r.pick(subject.japanese));
  return fill(r.pick(TITLES[subject.deed]), subject.inTitle?.(r) ?? r.pick(subject.english)) + r.pick(WHEN);
}

/** People say "that report" of "the report", and "the umbrella" of "a new umbrella". */
function spokenOf(r: Random, thing: string): string {
  if (thing.startsWith("the ") && r.chance(0.25)) return `that ${thing.slice(4)}`;
  if (thing.startsWith("a ") && r.chance(0.3)) return `the ${thing.slice(2)}`;
  return thing;
}

function japaneseRemark(r: Random, subject: Subject): Remark {
  const thing = r.pick(subject.japanese);
  const text = fill(r.pick(JAPANESE_REMARKS), thing);
  return { text, mentionEnd: text.indexOf(thing) + thing.length, title: thing };
}

/** The title's verb: the sentence's own when it says what to do, or else the usual one when the wording shows what is to be done. */
function titleFor(deed: Deed, template: string, thing: string): string {
  if (GENERAL.includes(template)) return thing;
  if (TITLES[deed].includes(template)) return fill(template, thing);
  return fill(TITLES[deed][0]!, thing);
}

function remark(r: Random, subject: Subject, japaneseShare: number): Remark {
  if (subject.japanese.length > 0 && r.chance(japaneseShare)) return japaneseRemark(r, subject);
  const { deed } = subject;
  const kind = r.next();
  const template = r.pick(kind < 0.1 ? TITLES[deed] : kind < 0.64 ? REMARKS[deed] : GENERAL);
  const thing = spokenOf(r, r.pick(subject.english));
  const opening = r.pick(OPENINGS);
  const said = opening + fill(template, thing);
  const text = said.endsWith("?") ? said : said + r.pick(WHEN) + r.pick(CLOSINGS);
  const startsWithThing = opening === "" && template.startsWith("{o}");
  return {
    text: r.chance(0.2) && !startsWithThing ? text.charAt(0).toUpperCase() + text.slice(1) : text,
    mentionEnd: opening.length + template.indexOf("{o}") + thing.length,
    title: titleFor(deed, template, thing),
  };
}

/** A todo list with any number of sentences about it. */
export function todoTalk(
  r: Random,
  options: { min: number; max: number; remarks: number },
): { todos: DemoTodo[]; remarks: (Remark & { expected: string })[] } {
  const next = subjects(r);
  const isJapanese = r.chance(0.12);
  const withCategories = r.chance(0.3);
  const listed = Array.from({ length: r.int(options.min, options.max) }, next);
  const todos = listed.map((subject, index) => ({
    id: `t${index + 1}`,
    title: todoTitle(r, subject, isJapanese && r.chance(0.8)),
    ...(withCategories && r.chance(0.85) && { category: r.pick(CATEGORIES[subject.deed]) }),
  }));
  const remarks = Array.from({ length: options.remarks }, () => {
    const isNew = r.chance(0.25);
    const index = r.int(0, listed.length - 1);
    const about = remark(r, isNew ? next() : listed[index]!, isJapanese ? 0.6 : 0.12);
    return { ...about, expected: isNew ? "new" : String(index + 1) };
  });
  return { todos, remarks };
}

/** Sentences that mean none of the todos. */
export function newRemarks(r: Random, count: number): Remark[] {
  const next = subjects(r);
  return Array.from({ length: count }, () => remark(r, next(), 0.08));
}

/** One sentence and 2 to 8 todos; `expected` is the number of the todo that is meant, or `new`. */
export function todoCase(seed: number): TodoCase {
  const { todos, remarks } = todoTalk(random(seed, "todo"), { min: 2, max: 8, remarks: 1 });
  return { text: remarks[0]!.text, todos, expected: remarks[0]!.expected };
}

/** One sentence; `expected` is the title of a new todo. */
export function titleCase(seed: number): TitleCase {
  const [about] = newRemarks(random(seed, "title"), 1);
  return { text: about!.text, expected: about!.title };
}
