// Parts of web pages, as research reads them: an article under headings, and questions about one event in one town
// with the claims that answer them.
import { EVENTS, FIELDS, type Field, PLACE } from "./article-fields.ts";
import { type Article, article, capital } from "./articles.ts";
import { properWord } from "./invented.ts";
import { type Random, random } from "./random.ts";

const MOST_CLAIMS = 3;
const SUBHEADINGS = ["What we know", "Numbers", "Background", "The people", "In short", "Details"];
const LINKED = ["More news", "Read more", "All photos", "Subscribe", "Our archive"];

export type Claim = { evidence: string; claim: string };
export type ClaimsCase = { where: string; text: string; question: string; expected: { claims: Claim[] } };
export type PagePart = { article: Article; where: string; text: string; town: string | null };

const nounOf = ({ sentences }: Article) =>
  EVENTS.find(({ said }) => sentences[0]!.toLowerCase().includes(said))!.noun;

export const townOf = ({ statements }: Article) =>
  statements.find(({ field }) => field === PLACE)?.value ?? null;

/** The headings above a part. They may name the town where the text does not. */
function headings(r: Random, about: Article): { where: string; town: string | null } {
  const noun = nounOf(about);
  const town = townOf(about) ?? (r.chance(0.5) ? properWord(r) : null);
  const titles = town
    ? [`The ${noun} in ${town}`, `${capital(noun)} in ${town}`, `News from ${town}`, `${town} Herald`]
    : [`The ${noun}`, "Local news", "News of the week"];
  const below = r.chance(0.4) ? ` > ${r.pick(SUBHEADINGS)}` : "";
  return { where: `[${r.pick(titles)}${below}] `, town };
}

/** The article as parts of pages are asked: sentences in paragraphs and lists, with headings and the words of links between them. */
function asPage(r: Random, about: Article): string {
  const lines: string[] = r.chance(0.3) ? [capital(nounOf(about))] : [];
  const listShare = r.pick([0, 0.1, 0.4]);
  for (const [index, sentence] of about.sentences.entries()) {
    if (index > 0 && r.chance(0.06)) lines.push(r.pick(SUBHEADINGS));
    lines.push(index > 0 && r.chance(listShare) ? `- ${sentence}` : sentence);
    if (r.chance(0.03)) lines.push(r.pick(LINKED));
  }
  return lines.join("\n");
}

export function pagePart(r: Random): PagePart {
  const about = article(r);
  const above = r.chance(0.5) ? headings(r, about) : { where: "", town: townOf(about) };
  return { article: about, ...above, text: r.chance(0.5) ? asPage(r, about) : about.text };
}

/** One or two fields in one question about an event, "How much did the fire cost in Keta?". */
export function questionAbout(
  r: Random,
  fields: readonly Field[],
  { noun, town }: { noun?: string | undefined; town?: string | undefined },
): string {
  const [first, second] = fields.map((field) => r.pick(field.questions).slice(0, -1));
  const joined = second ? `${first} and ${second.charAt(0).toLowerCase()}${second.slice(1)}` : first!;
  const told = /\bit\b/.test(joined);
  const event = noun === undefined ? "" : ` ${r.pick(["at", "at", "of"])} the ${noun}`;
  const withEvent = told && noun !== undefined ? joined.replace(/\bit\b/, `the ${noun}`) : joined + event;
  return `${withEvent}${town === undefined ? "" : ` in ${town}`}?`;
}

/** A question, and what the part says to it: nothing when the question names a town that the part does not. */
export function askForClaims(r: Random, part: PagePart): { question: string; expected: { claims: Claim[] } } {
  const { statements, sentences } = part.article;
  const kind = r.next();
  const isOpen = kind < 0.17;
  const isElsewhere = kind > 0.83;
  const stated = FIELDS.filter((field) => statements.some((one) => one.field === field));
  const open = FIELDS.filter((field) => !stated.includes(field));
  const askable = isOpen || stated.length === 0 ? open : stated;
  const [main] = r.sample(askable, 1) as [Field];
  const second = r.chance(0.1) ? r.sample(FIELDS, 1).filter((field) => field !== main) : [];
  const fields = [main, ...second];
  const asksForPlace = fields.includes(PLACE);
  const own = part.town !== null && r.chance(0.75) ? part.town : undefined;
  const town = isElsewhere ? properWord(r) : own;
  const noun = r.chance(0.75) ? nounOf(part.article) : undefined;
  const question = questionAbout(r, fields, { noun, town: asksForPlace ? undefined : town });
  if (isElsewhere && !asksForPlace) return { question, expected: { claims: [] } };
  const claims = sentences
    .filter((sentence) => statements.some((one) => one.sentence === sentence && fields.includes(one.field)))
    .map((sentence) => ({ evidence: sentence, claim: sentence }));
  return { question, expected: { claims: claims.slice(0, MOST_CLAIMS) } };
}

export function claimsCase(seed: number): ClaimsCase {
  const r = random(seed, "claims");
  const part = pagePart(r);
  return { where: part.where, text: part.text, ...askForClaims(r, part) };
}
