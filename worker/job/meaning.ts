// Which of many short texts say the same, and which contradict each other: answers and facts that a model found in several parts of a
// text or in several texts. What is equal in its normal form (normal-form.ts) is the same without a question; about the other pairs that
// are worth it the model is asked, within a limit. Where it is not sure, two texts are different: one too many is better than one lost.
import { type Model, whyUnusable } from "./handler.ts";
import { normalWords, numbersIn } from "./normal-form.ts";
import { oneLine, UNSPACED } from "./text.ts";

export type Said = { text: string; evidence: string };

/** Each group says one thing, in the order of the input. Contradictions are pairs of groups by their place. */
export type Grouped<T> = { groups: T[][]; contradictions: [number, number][] };

export type AskMeaning<T = Said> = {
  model: Pick<Model, "decide">;
  /** What all texts answer. */
  question?: string;
  /** [24] */
  maxQuestions?: number;
  /** Whether the model may be asked about two. [about all] */
  mayBeSame?(one: T, other: T): boolean;
};

const MAX_QUESTIONS = 24;

const INSTRUCTIONS = `You compare two short texts, A and B. If a question stands before them, both are answers to it.
Answer "same" if they say the same in other words, or one only says more than the other.
Answer "contradiction" if both are about the same thing and cannot both be true.
Otherwise answer "different". Different numbers, dates, names or units are never the same.`;

const VERDICTS = ["same", "different", "contradiction"] as const;

/** What the model gets to compare two texts. */
export function compareContent(one: string, other: string, question?: string): string {
  const asked = question === undefined ? "" : `Question: ${oneLine(question)}\n`;
  return `${asked}A: ${oneLine(one)}\nB: ${oneLine(other)}`;
}

export async function groupByMeaning<T extends Said>(
  said: readonly T[],
  ask: AskMeaning<T>,
): Promise<Grouped<T>> {
  const forms = formsOf(said, ask.question !== undefined);
  const pairs = pairsWorthAsking(forms, ask);
  const verdicts = await Promise.all(pairs.map((pair) => compare(pair, forms, ask)));
  return joined(forms, verdicts.flat());
}

// ── Equal in their normal form ──

/** Texts that are equal without a question. */
type Form<T> = { words: string[]; numbers: Set<string>; members: { at: number; one: T }[] };

function formsOf<T extends Said>(said: readonly T[], answersOneQuestion: boolean): Form<T>[] {
  const forms = new Map<string, Form<T>>();
  for (const [at, one] of said.entries()) {
    const words = normalWords(one.text);
    // Signs alone are compared as they are.
    const key = words.join(" ") || `\n${one.text.trim()}`;
    const form = forms.get(key) ?? { words, numbers: numbersIn(words), members: [] };
    form.members.push({ at, one });
    forms.set(key, form);
  }
  return answersOneQuestion ? withBareNumbers([...forms.values()]) : [...forms.values()];
}

/** Words that change what the number beside them means, or make it one of something else. */
const CHANGES =
  /^(?:not|no|never|none|without|except|only|than|more|less|most|least|over|under|above|below|before|after|until|till|since|almost|nearly|about|around|roughly|approximately|circa|ca|up|per|half|double|twice|times?|or|and|of|%|yen|dollar|euro|pound|k|[<>≤≥±~≈°+=])$|[以未超約]|ほど|ほぼ|まで|から|より|前|後|弱|強|ない|ません|円|倍|割|半/;

/**
 * As answers to one question, "40" is the same as "40 loaves" where no other answer has the same number of something else.
 */
function withBareNumbers<T>(forms: Form<T>[]): Form<T>[] {
  const kept: Form<T>[] = [];
  const fuller = (bare: Form<T>) =>
    forms.filter(
      ({ words }) =>
        words.length > 1 &&
        words[0] === bare.words[0] &&
        !words.slice(1).some((word) => CHANGES.test(word) || /^-?\d/.test(word)),
    );
  for (const form of forms) {
    const isBare = form.words.length === 1 && /^-?\d+(?:\.\d+)?$/.test(form.words[0]!);
    const [only, ...others] = isBare ? fuller(form) : [];
    if (only && others.length === 0) only.members.push(...form.members);
    else kept.push(form);
  }
  for (const { members } of kept) members.sort((a, b) => a.at - b.at);
  return kept.sort((a, b) => a.members[0]!.at - b.members[0]!.at);
}

// ── Pairs worth a question ──

type Pair = { one: number; other: number };

/** A word of more texts than that says little about which of them belong together. */
const MAX_TEXTS_OF_WORD = 40;

/** Those that share the most first; then, if they answer one question, the others in order. */
function pairsWorthAsking<T>(
  forms: readonly Form<T>[],
  { question, maxQuestions = MAX_QUESTIONS, mayBeSame = () => true }: AskMeaning<T>,
): Pair[] {
  const first = (at: number) => forms[at]!.members[0]!.one;
  const sharing = sharingPairs(forms.map(({ words }) => contentOf(words))).filter(({ one, other }) =>
    mayBeSame(first(one), first(other)),
  );
  const pairs = sharing.slice(0, Math.max(0, maxQuestions));
  if (question === undefined) return pairs;
  const known = new Set(pairs.map(keyOf));
  for (let other = 1; other < forms.length; other += 1)
    for (let one = 0; one < other; one += 1) {
      if (pairs.length >= maxQuestions) return pairs;
      if (!known.has(keyOf({ one, other })) && mayBeSame(first(one), first(other)))
        pairs.push({ one, other });
    }
  return pairs;
}

const keyOf = ({ one, other }: Pair) => `${one} ${other}`;

const STOP_WORDS = new Set(
  "in on at of to for from by with is are was were be been has have had it its this that and or as not no".split(
    " ",
  ),
);
const ROW = new RegExp(`^[${UNSPACED}]`, "u");

/** What a text is about. A row of letters without spaces counts by its pairs of letters. */
function contentOf(words: readonly string[]): Set<string> {
  return new Set(
    words.flatMap((word) => {
      if (!ROW.test(word)) return STOP_WORDS.has(word) ? [] : [word];
      const letters = [...word];
      return letters.length < 2 ? letters : letters.slice(1).map((letter, at) => letters[at]! + letter);
    }),
  );
}

function sharingPairs(contents: readonly Set<string>[]): Pair[] {
  const textsOf = new Map<string, number[]>();
  for (const [at, content] of contents.entries())
    for (const word of content) {
      const texts = textsOf.get(word);
      if (texts) texts.push(at);
      else textsOf.set(word, [at]);
    }
  const found = new Map<string, Pair>();
  for (const texts of textsOf.values()) {
    if (texts.length > MAX_TEXTS_OF_WORD) continue;
    for (const [place, other] of texts.entries())
      for (const one of texts.slice(0, place)) found.set(keyOf({ one, other }), { one, other });
  }
  return [...found.values()]
    .map((pair) => ({ ...pair, ...sharedBy(contents[pair.one]!, contents[pair.other]!) }))
    .filter(({ share }) => share >= MIN_SHARE)
    .sort((a, b) => b.share - a.share || b.count - a.count || a.one - b.one || a.other - b.other)
    .map(({ one, other }) => ({ one, other }));
}

function sharedBy(one: Set<string>, other: Set<string>) {
  const [small, large] = one.size < other.size ? [one, other] : [other, one];
  const count = [...small].filter((word) => large.has(word)).length;
  return { count, share: count / small.size };
}

/** Of the words of the shorter text. */
const MIN_SHARE = 0.3;

// ── What the model says ──

type Verdict = Pair & { is: "same" | "contradiction"; probability: number };

async function compare<T extends Said>(
  pair: Pair,
  forms: readonly Form<T>[],
  { model, question }: AskMeaning<T>,
): Promise<Verdict[]> {
  const [one, other] = [forms[pair.one]!, forms[pair.other]!];
  const content = compareContent(one.members[0]!.one.text, other.members[0]!.one.text, question);
  try {
    const { choice, probabilities } = await model.decide({
      instructions: INSTRUCTIONS,
      content,
      options: VERDICTS,
    });
    if (choice !== "same" && choice !== "contradiction") return [];
    // Whatever a model says: 7 is not 7,000.
    if (choice === "same" && differOnlyInNumbers(one, other)) return [];
    return [{ ...pair, is: choice, probability: probabilities[choice] }];
  } catch (thrown) {
    if (whyUnusable(thrown) === undefined) throw thrown;
    return [];
  }
}

const differ = (one: Set<string>, other: Set<string>) =>
  one.size > 0 &&
  other.size > 0 &&
  (one.size !== other.size || [...one].some((number) => !other.has(number)));

const wordsWithoutNumbers = ({ words }: Form<unknown>) =>
  words.filter((word) => numbersIn([word]).size === 0).join(" ");

const differOnlyInNumbers = (one: Form<unknown>, other: Form<unknown>) =>
  differ(one.numbers, other.numbers) && wordsWithoutNumbers(one) === wordsWithoutNumbers(other);

/** Joins what is the same, the surest first, unless that brings together what contradicts itself or has other numbers. */
function joined<T>(forms: readonly Form<T>[], verdicts: readonly Verdict[]): Grouped<T> {
  const group = forms.map((_, at) => [at]);
  const isSame = new Set(verdicts.filter(({ is }) => is === "same").map(keyOf));
  const contradicting = verdicts.filter(({ is }) => is === "contradiction");
  const opposed = new Set(contradicting.map(keyOf));
  const fit = (a: number, b: number) => {
    const key = keyOf({ one: Math.min(a, b), other: Math.max(a, b) });
    return !opposed.has(key) && (isSame.has(key) || !differ(forms[a]!.numbers, forms[b]!.numbers));
  };
  const surest = verdicts
    .filter(({ is }) => is === "same")
    .sort((a, b) => b.probability - a.probability || a.one - b.one || a.other - b.other);
  for (const { one, other } of surest) {
    const [mine, theirs] = [group[one]!, group[other]!];
    if (mine === theirs || !mine.every((a) => theirs.every((b) => fit(a, b)))) continue;
    mine.push(...theirs);
    for (const at of theirs) group[at] = mine;
  }
  const groups = [...new Set(group)].map((places) => ({
    places,
    members: places.flatMap((at) => forms[at]!.members).sort((a, b) => a.at - b.at),
  }));
  groups.sort((a, b) => a.members[0]!.at - b.members[0]!.at);
  const groupOf = (form: number) => groups.findIndex(({ places }) => places.includes(form));
  const pairs = contradicting.map(({ one, other }) => [groupOf(one), groupOf(other)].sort((a, b) => a - b));
  const unique = new Map(pairs.map(([a, b]) => [`${a} ${b}`, [a!, b!] as [number, number]]));
  return {
    groups: groups.map(({ members }) => members.map(({ one }) => one)),
    contradictions: [...unique.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1]),
  };
}
