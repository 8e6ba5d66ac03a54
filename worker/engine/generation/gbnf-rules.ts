// Builds the rules of a GBNF grammar for JSON. json-schema-to-gbnf.ts decides which rules a schema needs. Pure.

/** A rule's name, or any other expression that a rule may contain. */
export type Rule = string;
type Member = { rule: Rule; required: boolean };

// At most one space where JSON allows white space, and bounded digits: a model could write either forever.
const BASICS: Record<string, string> = {
  ws: '" "?',
  comma: '"," ws',
  char: String.raw`[^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt/] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])`,
  string: String.raw`"\"" char* "\""`,
  integer: '"-"? ("0" | [1-9] [0-9]{0,15})',
  number: 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?',
  boolean: '"true" | "false"',
  null: '"null"',
  object: '"{" ws (string ":" ws value (comma string ":" ws value)*)? ws "}"',
  array: '"[" ws (value (comma value)*)? ws "]"',
  value: "object | array | string | number | boolean | null",
};

export class Rules {
  readonly #rules = new Map<string, string>();

  get size(): number {
    return this.#rules.size;
  }

  text(root: string): string {
    const all = [["root", root], ...Object.entries(BASICS), ...this.#rules];
    return all.map(([name, body]) => `${name} ::= ${body}\n`).join("");
  }

  add(body: string): Rule {
    const name = this.reserve();
    this.fill(name, body);
    return name;
  }

  /** A name for a rule that is filled in later, so that it can refer to itself. */
  reserve(): Rule {
    const name = `r${this.#rules.size}`;
    this.#rules.set(name, "");
    return name;
  }

  fill(name: Rule, body: string): void {
    this.#rules.set(name, body);
  }

  anyValue(): Rule {
    return "value";
  }

  simple(type: string): Rule {
    return type;
  }

  literal(value: unknown): Rule {
    return quote(JSON.stringify(value));
  }

  string(min: number, max: number | undefined): Rule {
    if (min === 0 && max === undefined) return "string";
    return this.add(String.raw`"\"" char{${min},${max ?? ""}} "\""`);
  }

  member(key: string, value: Rule): Rule {
    return this.pair(this.literal(key), value);
  }

  pair(key: Rule, value: Rule): Rule {
    return this.add(`${key} ":" ws ${value}`);
  }

  /** An object with these members in this order. `rest` is the rule for further members, if any are allowed. */
  object(members: readonly Member[], rest: Rule | undefined): Rule {
    // What may follow a member, built from the last one: `begin` when no member was written before, `goOn` after a comma.
    let begin = rest === undefined ? '""' : this.add(`(${rest} (comma ${rest})*)?`);
    let goOn = rest === undefined ? '""' : this.add(`(comma ${rest})*`);
    for (const { rule, required } of members.toReversed()) {
      begin = this.add(required ? `${rule} ${goOn}` : `${rule} ${goOn} | ${begin}`);
      goOn = this.add(required ? `comma ${rule} ${goOn}` : `(comma ${rule})? ${goOn}`);
    }
    return this.add(`"{" ws ${begin} ws "}"`);
  }

  /** `heads` are the items at fixed positions, `item` is the rule for all further ones. */
  array(heads: readonly Rule[], item: Rule | undefined, min: number, max: number | undefined): Rule {
    const least = Math.max(0, min - heads.length);
    const most = max === undefined ? undefined : Math.max(0, max - heads.length);
    const parts: string[] = heads.flatMap((head, index) => (index === 0 ? [head] : ["comma", head]));
    if (item !== undefined && most !== 0) {
      const one = this.add(item);
      if (heads.length > 0) parts.push(`(comma ${one}){${least},${most ?? ""}}`);
      else {
        const others = `${one} (comma ${one}){${Math.max(0, least - 1)},${most === undefined ? "" : most - 1}}`;
        parts.push(least === 0 ? `(${others})?` : others);
      }
    }
    return this.add(`"[" ws ${parts.join(" ")} ws "]"`);
  }
}

/** A GBNF string that matches exactly `json`. JSON has already escaped its control characters. */
function quote(json: string): string {
  return `"${json.replaceAll(/["\\]/g, "\\$&")}"`;
}
