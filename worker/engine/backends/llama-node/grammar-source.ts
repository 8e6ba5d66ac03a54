// Reads the GBNF that json-grammar.ts writes, down to rules that only know characters and each other: groups, options and
// repetitions become rules of their own. Pure; grammar-acceptor.ts walks along them.

/** Takes one character, or goes into a rule: any of its alternatives, each a list of elements. */
export type Element = { takes(char: string): boolean } | { rule: GrammarRule };
export type GrammarRule = { alternatives: (readonly Element[])[] };

// A literal, a class, a repetition, a name, or a sign.
const TOKEN =
  /\s*(?:"((?:[^"\\]|\\.)*)"|\[((?:[^\]\\]|\\.)*)\]|\{(\d+)(?:(,)(\d*))?\}|([a-zA-Z][\w-]*)|([()|?*+]))/y;
const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

export function readGrammar(source: string): GrammarRule {
  const rules = new Map<string, GrammarRule>();
  const ruleOf = (name: string) => {
    const rule = rules.get(name) ?? { alternatives: [] };
    rules.set(name, rule);
    return rule;
  };
  for (const line of source.split("\n").filter((line) => line !== "")) {
    const [, name, body] = /^([a-zA-Z][\w-]*) ::= (.*)$/.exec(line)!;
    ruleOf(name!).alternatives = new Reader(body!, ruleOf).alternatives();
  }
  return ruleOf("root");
}

class Reader {
  readonly #source: string;
  readonly #ruleOf: (name: string) => GrammarRule;
  #at = 0;

  constructor(source: string, ruleOf: (name: string) => GrammarRule) {
    this.#source = source;
    this.#ruleOf = ruleOf;
  }

  alternatives(): Element[][] {
    const all: Element[][] = [[]];
    for (;;) {
      const found = this.#next();
      const [, literal, set, least, , , name, sign] = found ?? [];
      if (!found || sign === ")") return all;
      if (sign === "|") all.push([]);
      else if (literal !== undefined) this.#add(all, literalOf(literal));
      else if (set !== undefined) this.#add(all, [{ takes: classOf(set) }]);
      else if (name !== undefined) this.#add(all, [{ rule: this.#ruleOf(name) }]);
      else if (sign === "(") this.#add(all, [{ rule: { alternatives: this.alternatives() } }]);
      else throw new Error(`a grammar goes on with ${least ?? sign} after nothing`);
    }
  }

  /** With the repetition that follows, if one does. */
  #add(all: Element[][], elements: Element[]): void {
    const before = this.#at;
    const [, , , least, comma, most, , sign] = this.#next() ?? [];
    if (sign === "?") append(all, repeated(elements, 0, 1));
    else if (sign === "*") append(all, repeated(elements, 0, undefined));
    else if (sign === "+") append(all, repeated(elements, 1, undefined));
    else if (least !== undefined)
      append(
        all,
        repeated(elements, Number(least), comma ? (most ? Number(most) : undefined) : Number(least)),
      );
    else {
      this.#at = before;
      append(all, elements);
    }
  }

  #next(): RegExpExecArray | null {
    TOKEN.lastIndex = this.#at;
    const found = TOKEN.exec(this.#source);
    if (found) this.#at = TOKEN.lastIndex;
    return found;
  }
}

/** One by one: a literal may be longer than a call may have arguments. */
function append(all: readonly Element[][], elements: readonly Element[]): void {
  const last = all.at(-1)!;
  for (const element of elements) last.push(element);
}

function repeated(elements: readonly Element[], least: number, most: number | undefined): Element[] {
  const needed = Array.from({ length: least }, () => elements).flat();
  if (most === undefined) {
    const again: GrammarRule = { alternatives: [] };
    again.alternatives = [[...elements, { rule: again }], []];
    return [...needed, { rule: again }];
  }
  let rest: Element[] = [];
  for (let n = least; n < most; n++) rest = [{ rule: { alternatives: [[...elements, ...rest], []] } }];
  return [...needed, ...rest];
}

const literalOf = (source: string): Element[] =>
  charsOf(source).map(({ char: wanted }) => ({ takes: (char) => char === wanted }));

function classOf(source: string): (char: string) => boolean {
  const negated = source.startsWith("^");
  const chars = charsOf(negated ? source.slice(1) : source);
  const ranges: [string, string][] = [];
  for (let at = 0; at < chars.length; at++) {
    const isRange = chars[at + 1]?.char === "-" && !chars[at + 1]?.escaped && at + 2 < chars.length;
    ranges.push([chars[at]!.char, chars[isRange ? at + 2 : at]!.char]);
    if (isRange) at += 2;
  }
  const codes = ranges.map(([from, to]) => [from.codePointAt(0)!, to.codePointAt(0)!] as const);
  return (char) => {
    const code = char.codePointAt(0)!;
    return codes.some(([from, to]) => from <= code && code <= to) !== negated;
  };
}

function charsOf(source: string): { char: string; escaped: boolean }[] {
  const found = source.matchAll(/\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)|(.)/gsu);
  return Array.from(found, ([, hex, hex4, letter, plain]) => {
    const code = hex ?? hex4;
    if (code !== undefined) return { char: String.fromCodePoint(Number.parseInt(code, 16)), escaped: true };
    if (letter !== undefined) return { char: ESCAPES[letter] ?? letter, escaped: true };
    return { char: plain!, escaped: false };
  });
}
