// Which tokens of a vocabulary a grammar allows next, where these are few. A library that masks a vocabulary of 262,144 tokens at
// every step needs as long as the model; here only tokens that begin with an allowed character are looked at, and what was found
// for a place in the grammar is kept. Where many tokens are allowed, as in a text, there is no answer: a token that the model draws
// there mostly fits. The library checks every token all the same, so a token too many costs time and nothing else. Pure.
import type { Chars, Element, Grammar, Sequence } from "./grammar.ts";
import type { Beginning, TokenTexts } from "./token-texts.ts";

/** More tokens are not looked at for one place in the grammar. */
const MAX_LOOKED_AT = 8_192;
/** A place where more characters are allowed is within a text. */
const MAX_CHARACTERS = 128;
/** So many tokens are looked at one by one. More are followed together, character by character. */
const FEW = 16;
/** Of one grammar. With more, all are forgotten. */
const MAX_KEPT = 20_000;

/** A place in a sequence, and where it goes on after the sequence. `done`: characters of a text, or repetitions. */
type Place = { id: number; sequence: Sequence; at: number; done: number; next: Place | undefined };
/** `undefined` among the places is the end of the grammar. */
type State = {
  places: readonly (Place | undefined)[];
  steps: Map<number, State | undefined>;
  allowed?: readonly number[] | null;
};

/** One grammar with one vocabulary. Answers that follow it share what was found. */
export class AllowedTokens {
  readonly #grammar: Grammar;
  readonly #texts: TokenTexts;
  readonly #sequences = new Map<Sequence, number>();
  readonly #places = new Map<string, Place>();
  readonly #states = new Map<string, State>();
  readonly #points = new WeakMap<Element, number[]>();
  #nextId = 1;

  constructor(grammar: Grammar, texts: TokenTexts) {
    this.#grammar = grammar;
    this.#texts = texts;
  }

  start(): AnswerPlace {
    const starts = this.#grammar[0]!.alternatives.map((sequence) => this.#place(sequence, 0, 0, undefined));
    return new AnswerPlace(this, this.#texts, this.#opened(starts));
  }

  /** Undefined where a token does not fit. */
  after(state: State, point: number): State | undefined {
    if (state.steps.has(point)) return state.steps.get(point);
    const rest = state.places.flatMap((place) =>
      place !== undefined && holds(this.#charsAt(place), point) ? [this.#moved(place)] : [],
    );
    const next = rest.length === 0 ? undefined : this.#opened(rest);
    state.steps.set(point, next);
    return next;
  }

  /** Undefined when there are too many. */
  allowedIn(state: State): readonly number[] | undefined {
    if (state.allowed === undefined) state.allowed = this.#find(state) ?? null;
    return state.allowed ?? undefined;
  }

  #find(state: State): number[] | undefined {
    const points = this.#firstPoints(state);
    if (points === undefined) return undefined;
    const found = state.places.includes(undefined) ? [...this.#texts.ends] : [];
    // A character may also come in parts. Only the library can check those.
    if ([...points].some((point) => point > 0x7f)) found.push(...this.#texts.parts);
    return this.#collect(this.#texts.root, state, found, 0) > MAX_LOOKED_AT ? undefined : found;
  }

  /** Adds the tokens that fit. Returns how many were looked at so far, and stops when they are too many. */
  #collect(beginning: Beginning, state: State, found: number[], lookedAt: number): number {
    const { tokens, length } = beginning;
    const points = this.#firstPoints(state);
    if (length > 0 && (tokens.length <= FEW || points === undefined)) {
      if (lookedAt + tokens.length <= MAX_LOOKED_AT)
        found.push(...tokens.filter((token) => this.#fits(state, token, length)));
      return lookedAt + tokens.length;
    }
    const children = this.#texts.children(beginning);
    found.push(...beginning.whole.filter((token) => this.#fits(state, token, length)));
    let sum = lookedAt + beginning.whole.length;
    for (const point of points!) {
      const [child, next] = [children.get(point), this.after(state, point)];
      if (child && next && sum <= MAX_LOOKED_AT) sum = this.#collect(child, next, found, sum);
    }
    return sum;
  }

  #firstPoints({ places }: State): ReadonlySet<number> | undefined {
    const points = new Set<number>();
    for (const place of places) {
      for (const [low, high] of place === undefined ? [] : this.#charsAt(place)) {
        if (high - low >= MAX_CHARACTERS) return undefined;
        for (let point = low; point <= high; point++) points.add(point);
      }
    }
    return points.size > MAX_CHARACTERS ? undefined : points;
  }

  /** Whether a token fits whose first characters have been followed already. */
  #fits(state: State, token: number, from: number): boolean {
    let at: State | undefined = state;
    for (const point of this.#texts.points(token).slice(from)) {
      at = this.after(at, point);
      if (at === undefined) return false;
    }
    // What the rest of a character will be is not known. Only the library can check its beginning.
    return (
      !this.#texts.isCut(token) || at.places.some((place) => place && isBeyondAscii(this.#charsAt(place)))
    );
  }

  #moved(place: Place): Place | undefined {
    const { sequence, at, done, next } = place;
    const element = sequence[at]!;
    if ("text" in element && done + 1 < this.#pointsOf(element).length)
      return this.#place(sequence, at, done + 1, next);
    if ("item" in element) return this.#place(sequence, at, repeated(element, done), next);
    return this.#place(sequence, at + 1, 0, next);
  }

  /** From places anywhere to all places before a character. */
  #opened(places: readonly (Place | undefined)[]): State {
    const seen = new Set<Place | undefined>();
    const found = new Set<Place | undefined>();
    const todo = [...places];
    while (todo.length > 0) {
      const place = todo.pop();
      if (seen.has(place)) continue;
      seen.add(place);
      if (place === undefined || this.#isBeforeCharacter(place)) found.add(place);
      if (place !== undefined) todo.push(...this.#within(place));
    }
    return this.#state([...found]);
  }

  #isBeforeCharacter({ sequence, at, done }: Place): boolean {
    const element = sequence[at]!;
    if ("item" in element) return "chars" in element.item && done < element.max;
    return "chars" in element || ("text" in element && element.text !== "");
  }

  /** Where a place leads without a character. */
  #within({ sequence, at, done, next }: Place): (Place | undefined)[] {
    const element = sequence[at]!;
    const past = () => this.#place(sequence, at + 1, 0, next);
    if ("rule" in element) return this.#alternatives(element.rule, past());
    if ("text" in element) return element.text === "" ? [past()] : [];
    if (!("item" in element)) return [];
    const { item, min, max } = element;
    const again = () => this.#place(sequence, at, repeated(element, done), next);
    return [
      ...("rule" in item && done < max ? this.#alternatives(item.rule, again()) : []),
      ...(done >= min ? [past()] : []),
    ];
  }

  #alternatives(rule: number, next: Place | undefined): (Place | undefined)[] {
    return this.#grammar[rule]!.alternatives.map((sequence) => this.#place(sequence, 0, 0, next));
  }

  #charsAt({ sequence, at, done }: Place): Chars {
    const element = sequence[at]!;
    if ("chars" in element) return element.chars;
    if ("item" in element) return "chars" in element.item ? element.item.chars : [];
    if (!("text" in element)) return [];
    const point = this.#pointsOf(element)[done]!;
    return [[point, point]];
  }

  #pointsOf(element: { text: string }): number[] {
    let points = this.#points.get(element);
    if (points === undefined) {
      points = Array.from(element.text, (char) => char.codePointAt(0)!);
      this.#points.set(element, points);
    }
    return points;
  }

  /** The same place is the same object. The end of a sequence is what follows it. */
  #place(sequence: Sequence, at: number, done: number, next: Place | undefined): Place | undefined {
    if (at === sequence.length) return next;
    const number = this.#sequences.get(sequence) ?? this.#sequences.size;
    this.#sequences.set(sequence, number);
    const key = `${number} ${at} ${done} ${next?.id ?? 0}`;
    const place = this.#places.get(key) ?? { id: this.#nextId++, sequence, at, done, next };
    this.#places.set(key, place);
    return place;
  }

  #state(places: readonly (Place | undefined)[]): State {
    const key = places
      .map((place) => place?.id ?? 0)
      .sort((a, b) => a - b)
      .join(" ");
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    // Answers that run keep the states that they are in. Only what is shared is found again.
    if (this.#states.size >= MAX_KEPT) {
      this.#states.clear();
      this.#places.clear();
    }
    const state: State = { places, steps: new Map() };
    this.#states.set(key, state);
    return state;
  }
}

/** More repetitions than the fewest are all the same where there is no limit. */
const repeated = ({ min, max }: { min: number; max: number }, done: number) =>
  max === Number.POSITIVE_INFINITY ? Math.min(done + 1, min) : done + 1;

const isBeyondAscii = (chars: Chars) => chars.some(([, high]) => high > 0x7f);
const holds = (chars: Chars, point: number) => chars.some(([low, high]) => low <= point && point <= high);

/** Where one answer stands in its grammar. */
export class AnswerPlace {
  readonly #all: AllowedTokens;
  readonly #texts: TokenTexts;
  #state: State | undefined;
  /** The first bytes of a character. */
  #begun: number[] = [];

  constructor(all: AllowedTokens, texts: TokenTexts, state: State) {
    this.#all = all;
    this.#texts = texts;
    this.#state = state;
  }

  /** Undefined when they are too many to name, or not known. */
  allowed(): readonly number[] | undefined {
    return this.#state === undefined || this.#begun.length > 0 ? undefined : this.#all.allowedIn(this.#state);
  }

  accept(token: number): void {
    const { points, rest } = this.#texts.decoded([...this.#begun, ...this.#texts.bytes(token)]);
    this.#begun = rest;
    for (const point of points) this.#state = this.#state && this.#all.after(this.#state, point);
  }
}
