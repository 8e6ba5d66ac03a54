// Short news articles about invented towns and people, with questions about them and their facts in order:
// input for article.extract with the expected answer.
import { DATE, EVENT, FIELDS, FILLERS, type Field, LEADS, PLACE } from "./article-fields.ts";
import { type Random, random } from "./random.ts";

const MAX_CHARACTERS = 1_200;

export type Answer = { evidence: string | null; answer: string | null };
export type Facts = { facts: { evidence: string; fact: string }[] };
export type ArticleCase = { text: string; question: string; expected: Answer };
export type FactsCase = { text: string; count: number; expected: Facts };

/** A field as the article states it. A sentence may state several, in the order of the text. */
export type Statement = { field: Field; value: string; sentence: string };
export type Article = { text: string; sentences: string[]; statements: Statement[] };

export const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** The event, alone or with its place and date: "A fire broke out in Keta on 3 May.", "On 3 May a fire broke out." */
function opening(r: Random): Statement[] {
  const place = r.chance(0.5) ? PLACE.value(r) : null;
  const date = r.chance(0.5) ? DATE.value(r) : null;
  const dateFirst = date !== null && r.chance(0.3);
  const said = EVENT.value(r);
  const event = dateFirst ? said : capital(said);
  const where = place === null ? "" : ` in ${place}`;
  const when = date === null || dateFirst ? "" : ` on ${date}`;
  const sentence = `${dateFirst ? `On ${date} ` : ""}${event}${where}${when}.`;
  const told = [
    { field: EVENT, value: event, sentence },
    ...(place === null ? [] : [{ field: PLACE, value: place, sentence }]),
  ];
  if (date === null) return told;
  const stated = { field: DATE, value: date, sentence };
  return dateFirst ? [stated, ...told] : [...told, stated];
}

/** Sentences with the same beginning are hard to distinguish, so no two share their first three words. */
const beginning = (sentence: string) => sentence.split(" ").slice(0, 3).join(" ");

export function article(r: Random): Article {
  const first = opening(r);
  const statements = [...first];
  const sentences = [first[0]!.sentence];
  const leads = r.sample(LEADS, 2);
  const fillers = r.sample(FILLERS, FILLERS.length);
  const fillerShare = r.pick([0, 0.2, 0.2, 0.4, 0.4, 0.9]);
  const length = () => sentences.join(" ").length;
  const add = (sentence: string) => {
    const fits = length() + 1 + sentence.length <= MAX_CHARACTERS;
    const isDistinct = sentences.every((other) => beginning(other) !== beginning(sentence));
    if (fits && isDistinct) sentences.push(sentence);
    return fits && isDistinct;
  };
  const others = FIELDS.filter((field) => first.every((stated) => stated.field !== field));
  for (const field of r.sample(others, r.int(1, r.chance(0.25) ? 13 : 7))) {
    const value = field.value(r);
    const said = r.pick(field.sentences).replace("{v}", value);
    const lead = r.chance(0.12) ? leads.pop() : undefined;
    const sentence = lead ? lead + said : capital(said);
    if (add(sentence)) statements.push({ field, value, sentence });
    if (r.chance(fillerShare)) add(fillers.pop()!);
  }
  return { text: sentences.join(" "), sentences, statements };
}

/** A question about what an article says, or about what it leaves open. */
export function ask(
  r: Random,
  { statements }: Article,
  isAnswerable: boolean,
): { question: string; expected: Answer } {
  if (isAnswerable) {
    const { field, value, sentence } = r.pick(statements);
    return { question: r.pick(field.questions), expected: { evidence: sentence, answer: value } };
  }
  const open = FIELDS.filter((field) => statements.every((stated) => stated.field !== field));
  return { question: r.pick(r.pick(open).questions), expected: { evidence: null, answer: null } };
}

/** The first facts of an article: "how much: 40 euros", each with its sentence. */
export function factsOf({ statements }: Article, count: number): Facts {
  return {
    facts: statements
      .slice(0, count)
      .map(({ field, value, sentence }) => ({ evidence: sentence, fact: `${field.label}: ${value}` })),
  };
}

/** How many facts are asked for: 3 by default in the handler. */
export const factCount = (r: Random) => (r.chance(0.6) ? 3 : r.int(1, 5));

/** An article with one question; about one in four has no answer. */
export function articleCase(seed: number): ArticleCase {
  const r = random(seed, "article");
  const about = article(r);
  return { text: about.text, ...ask(r, about, r.chance(0.75)) };
}

/** An article with the number of facts wanted. */
export function factsCase(seed: number): FactsCase {
  const r = random(seed, "facts");
  const about = article(r);
  const count = factCount(r);
  return { text: about.text, count, expected: factsOf(about, count) };
}
