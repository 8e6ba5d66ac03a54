// What llama.cpp does with a grammar: reads its text and follows an input with a stack for each way in which it may go on. Written
// after llama-grammar.cpp and independent of Kamado's own grammars, so that it can say whether those are what they claim to be.

type Terminal = { isNot: boolean; ranges: [number, number][] };
type Part = { terminal: Terminal } | { rule: number };
type Rules = Part[][][];
/** What is still to come, linked: stacks share what they have in common. */
type Stack = { part: Part; key: string; next: Stack } | undefined;

export class GbnfStacks {
  readonly #rules: Rules;
  stacks: Stack[];

  constructor(text: string) {
    const parser = new Parser(text);
    this.#rules = parser.rules;
    this.stacks = this.#opened([this.#pushed([{ rule: parser.root }], "", undefined)]);
  }

  get isComplete(): boolean {
    return this.stacks.includes(undefined);
  }

  /** The characters that some stack goes on with. */
  get next(): number[] {
    return this.stacks.flatMap((stack) => (stack === undefined ? [] : examplesOf(terminalOf(stack))));
  }

  accept(char: string): void {
    const point = char.codePointAt(0)!;
    const rest = this.stacks.flatMap((stack) =>
      stack !== undefined && matches(terminalOf(stack), point) ? [stack.next] : [],
    );
    this.stacks = this.#opened(rest);
  }

  accepts(text: string): boolean {
    for (const char of text) this.accept(char);
    return this.isComplete;
  }

  #unfolded(rule: number, below: Stack): Stack[] {
    return this.#rules[rule]!.map((parts, at) => this.#pushed(parts, `${rule}.${at}`, below));
  }

  #pushed(parts: readonly Part[], place: string, below: Stack): Stack {
    let stack = below;
    for (let at = parts.length - 1; at >= 0; at--)
      stack = { part: parts[at]!, key: `${place}.${at} ${stack?.key ?? ""}`, next: stack };
    return stack;
  }

  /** All stacks that begin with a character. Equal ones are one. */
  #opened(stacks: readonly Stack[]): Stack[] {
    const seen = new Set<string>();
    const found = new Map<string, Stack>();
    const todo = [...stacks];
    while (todo.length > 0) {
      const stack = todo.pop();
      const key = stack?.key ?? "";
      if (seen.has(key)) continue;
      seen.add(key);
      if (stack === undefined || "terminal" in stack.part) found.set(key, stack);
      else todo.push(...this.#unfolded(stack.part.rule, stack.next));
    }
    return [...found.values()];
  }
}

/** An open stack begins with a character. */
const terminalOf = (stack: NonNullable<Stack>) => (stack.part as { terminal: Terminal }).terminal;

function matches({ isNot, ranges }: Terminal, point: number): boolean {
  return ranges.some(([low, high]) => low <= point && point <= high) !== isNot;
}

function examplesOf(terminal: Terminal): number[] {
  const { isNot, ranges } = terminal;
  if (!isNot) return ranges.flatMap(([low, high]) => [low, Math.floor((low + high) / 2), high]);
  return [0x20, 0x61, 0xe9].filter((point) => matches(terminal, point));
}

/** GBNF as llama.cpp expands it: each repetition becomes rules. */
class Parser {
  readonly rules: Rules = [];
  readonly root: number;
  readonly #names = new Map<string, number>();
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#space();
    while (this.#at < text.length) {
      const rule = this.#named(this.#match(/[a-zA-Z0-9-]+/y)!);
      this.#space();
      this.#match(/::=/y);
      this.#space();
      this.rules[rule] = this.#alternatives();
      this.#space();
    }
    this.root = this.#named("root");
    for (const name of this.#names)
      if (this.rules[name[1]] === undefined) throw new Error(`no rule ${name[0]}`);
  }

  #named(name: string): number {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const rule = this.rules.push(undefined as never) - 1;
    this.#names.set(name, rule);
    return rule;
  }

  #alternatives(): Part[][] {
    const all = [this.#sequence()];
    while (this.#match(/\|\s*/y) !== undefined) all.push(this.#sequence());
    return all;
  }

  #sequence(): Part[] {
    const parts: Part[] = [];
    for (;;) {
      const last = this.#one();
      if (last === undefined) return parts;
      const times = this.#times();
      parts.push(...(times ? this.#repeated(last, ...times) : last));
    }
  }

  #one(): Part[] | undefined {
    const text = this.#match(/"(?:[^"\\]|\\.)*"[ ]*/y);
    if (text !== undefined) {
      return points(text.trimEnd().slice(1, -1)).map((point) => ({
        terminal: { isNot: false, ranges: [[point, point]] },
      }));
    }
    const set = this.#match(/\[(?:[^\]\\]|\\.)*\][ ]*/y);
    if (set !== undefined) return [{ terminal: setOf(set.trimEnd().slice(1, -1)) }];
    if (this.#match(/\(\s*/y) !== undefined) {
      const rule = this.#named(`(${this.rules.length}`);
      this.rules[rule] = this.#alternatives();
      this.#match(/\)[ ]*/y);
      return [{ rule }];
    }
    const name = this.#match(/[a-zA-Z0-9-]+[ ]*(?!\s*::=)/y);
    return name === undefined ? undefined : [{ rule: this.#named(name.trimEnd()) }];
  }

  #times(): [number, number] | undefined {
    const sign = this.#match(/[*+?][ ]*/y)?.trim();
    if (sign !== undefined) return sign === "*" ? [0, Infinity] : sign === "+" ? [1, Infinity] : [0, 1];
    const braces = this.#match(/\{\d+(,\d*)?\}[ ]*/y);
    if (braces === undefined) return undefined;
    const [min, max] = braces.trim().slice(1, -1).split(",");
    return [Number(min), max === undefined ? Number(min) : max === "" ? Infinity : Number(max)];
  }

  #repeated(parts: readonly Part[], min: number, max: number): Part[] {
    const fixed = Array.from({ length: min }, () => parts).flat();
    if (max === Infinity) {
      const rule = this.#named(`*${this.rules.length}`);
      this.rules[rule] = [[...parts, { rule }], []];
      return [...fixed, { rule }];
    }
    let rest: Part[] = [];
    for (let left = max - min; left > 0; left--) {
      const rule = this.#named(`{${this.rules.length}`);
      this.rules[rule] = [[...parts, ...rest], []];
      rest = [{ rule }];
    }
    return [...fixed, ...rest];
  }

  #space(): void {
    this.#match(/\s*/y);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}

function points(escaped: string): number[] {
  const plain: Record<string, number> = { t: 9, r: 13, n: 10 };
  return [...escaped.matchAll(/\\x(..)|\\u(....)|\\U(.{8})|\\(.)|(.)/gsu)].map(([, x, u, U, one, char]) => {
    const hex = x ?? u ?? U;
    if (hex !== undefined) return Number.parseInt(hex, 16);
    return one === undefined ? char!.codePointAt(0)! : (plain[one] ?? one.codePointAt(0)!);
  });
}

function setOf(text: string): Terminal {
  const isNot = text.startsWith("^");
  const ranges: [number, number][] = [];
  const one = String.raw`\\x..|\\u....|\\U.{8}|\\.|[^\\]`;
  for (const [, low, high] of text.slice(isNot ? 1 : 0).matchAll(new RegExp(`(${one})(?:-(${one}))?`, "gsu")))
    ranges.push([points(low!)[0]!, points(high ?? low!)[0]!]);
  return { isNot, ranges };
}
