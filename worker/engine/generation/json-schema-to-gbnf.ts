// Turns a JSON schema into a GBNF grammar. Only grammars that are made here reach native code, which aborts on what it cannot parse.
// The grammar writes the value compactly, with members in the schema's order. Pure.
//
// It enforces the structure: types, properties, required, items, enums, unions, references, lengths. Keywords that only restrict a
// value (pattern, minimum, format, uniqueItems, …) are left to whoever validates the answer. Keywords that change the structure in a
// way that a grammar cannot express are refused.
import { invalid, type JsonSchema } from "./backend.ts";

const PARAM = "response_format.json_schema.schema";
const MAX_DEPTH = 48;
const MAX_RULES = 4_000;
const MAX_LENGTH = 256 * 1_024;
// The library expands repetitions, so a longer one gets no upper limit.
const MAX_REPEAT = 256;
const UNSUPPORTED = [
  "not",
  "if",
  "then",
  "else",
  "patternProperties",
  "dependentSchemas",
  "dependentRequired",
  "$dynamicRef",
  "unevaluatedProperties",
  "unevaluatedItems",
];
const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];

type Schema = Record<string, unknown>;

/** Throws `invalid_input`, which says what in the schema is wrong or cannot be expressed. */
export function jsonGrammar(schema: JsonSchema): string {
  const converter = new Converter(schema);
  const root = converter.convert(schema, "#", 0);
  const grammar = converter.rules.text(`" "? ${root}`);
  if (grammar.length > MAX_LENGTH) throw refuse("#", "is too large");
  return grammar;
}

class Converter {
  readonly rules = new Rules();
  readonly #root: JsonSchema;
  readonly #references = new Map<string, Rule>();
  // Which references begin with which other ones: a circle among them would never write a character.
  readonly #beginsWith = new Map<string, Set<string>>();

  constructor(root: JsonSchema) {
    this.#root = root;
  }

  /** `within`: the reference whose value begins with this one, if there is one. */
  convert(schema: unknown, at: string, depth: number, within?: string): Rule {
    if (depth > MAX_DEPTH) throw refuse(at, "is nested too deeply");
    if (this.rules.size > MAX_RULES) throw refuse(at, "makes the schema too large");
    if (schema === true) return this.rules.anyValue();
    if (typeof schema !== "object" || schema === null || Array.isArray(schema))
      throw refuse(at, "is not a schema");
    const here = schema as Schema;
    const unknown = UNSUPPORTED.find((keyword) => keyword in here);
    if (unknown !== undefined) throw refuse(`${at}/${unknown}`, "is not supported");
    if ("$ref" in here) return this.#reference(here.$ref, at, depth, within);
    if ("const" in here) return this.rules.literal(here.const);
    if ("enum" in here)
      return this.#oneOf(list(here.enum, `${at}/enum`).map((value) => this.rules.literal(value)));
    const union = "anyOf" in here ? "anyOf" : "oneOf" in here ? "oneOf" : undefined;
    if (union) return this.#union(here, union, at, depth, within);
    if ("allOf" in here) return this.convert(this.#merged(here, at), at, depth + 1, within);
    return this.#typed(here, at, depth);
  }

  #union(schema: Schema, keyword: "anyOf" | "oneOf", at: string, depth: number, within?: string): Rule {
    const { [keyword]: options, ...common } = schema;
    const rules = list(options, `${at}/${keyword}`).map((option, index) => {
      const whole = "properties" in common ? { allOf: [common, option] } : option;
      return this.convert(whole, `${at}/${keyword}/${index}`, depth + 1, within);
    });
    return this.#oneOf(rules);
  }

  #oneOf(rules: readonly Rule[]): Rule {
    return this.rules.add(rules.join(" | "));
  }

  /** allOf as one schema: properties and required are united; other keywords must not contradict each other. */
  #merged({ allOf, ...rest }: Schema, at: string): Schema {
    // Without a prototype, so that "__proto__" is an ordinary key.
    const merged: Schema = Object.assign(Object.create(null), rest);
    for (const [index, part] of list(allOf, `${at}/allOf`).entries()) {
      const where = `${at}/allOf/${index}`;
      const resolved = isObject(part) && "$ref" in part ? this.#resolve(part.$ref, where) : part;
      if (!isObject(resolved)) throw refuse(where, "is not an object schema");
      for (const [key, value] of Object.entries(resolved))
        merged[key] = this.#join(merged[key], value, key, where);
    }
    return merged;
  }

  #join(before: unknown, value: unknown, key: string, at: string): unknown {
    if (before === undefined || JSON.stringify(before) === JSON.stringify(value)) return value;
    if (key === "properties" && isObject(before) && isObject(value)) return { ...before, ...value };
    if (key === "required" && Array.isArray(before) && Array.isArray(value))
      return [...new Set([...before, ...value])];
    if (["title", "description", "default", "examples", "$comment"].includes(key)) return before;
    throw refuse(`${at}/${key}`, "contradicts another part of allOf");
  }

  #typed(schema: Schema, at: string, depth: number): Rule {
    const guessed =
      "properties" in schema ? "object" : "items" in schema || "prefixItems" in schema ? "array" : undefined;
    const type = schema.type ?? guessed;
    if (type === undefined) return this.rules.anyValue();
    if (Array.isArray(type)) {
      return this.#oneOf(
        list(type, `${at}/type`).map((one) => this.#typed({ ...schema, type: one }, at, depth)),
      );
    }
    if (type === "object") return this.#object(schema, at, depth);
    if (type === "array") return this.#array(schema, at, depth);
    if (type === "string") return this.rules.string(...bounds(schema, "minLength", "maxLength", at));
    if (typeof type === "string" && TYPES.includes(type)) return this.rules.simple(type);
    throw refuse(`${at}/type`, `is not one of ${TYPES.join(", ")}`);
  }

  #object(schema: Schema, at: string, depth: number): Rule {
    const { properties = {}, required = [], additionalProperties: more } = schema;
    if (!isObject(properties)) throw refuse(`${at}/properties`, "is not an object");
    if (!Array.isArray(required) || required.some((name) => typeof name !== "string"))
      throw refuse(`${at}/required`, "is not a list of names");
    const other = isObject(more) ? more : true;
    const keys = [...new Set([...Object.keys(properties), ...(required as string[])])];
    const members = keys.map((key) => {
      // hasOwn, because "constructor" is an ordinary name too.
      const schema = Object.hasOwn(properties, key) ? properties[key] : other;
      return {
        rule: this.rules.member(key, this.convert(schema, `${at}/properties/${key}`, depth + 1)),
        required: required.includes(key),
      };
    });
    // Without properties any member is allowed. With them no other is, unless additionalProperties is a schema.
    const open = isObject(more) || (keys.length === 0 && more !== false);
    const value = open ? this.convert(other, `${at}/additionalProperties`, depth + 1) : undefined;
    const rest = value && this.rules.pair(this.#key(schema.propertyNames, at), value);
    return this.rules.object(members, rest);
  }

  /** The allowed names of members that are not listed. */
  #key(names: unknown, at: string): Rule {
    if (!isObject(names) || !("enum" in names)) return "string";
    return this.#oneOf(list(names.enum, `${at}/propertyNames/enum`).map((name) => this.rules.literal(name)));
  }

  #array(schema: Schema, at: string, depth: number): Rule {
    const first = "prefixItems" in schema ? list(schema.prefixItems, `${at}/prefixItems`) : [];
    const heads = first.map((item, index) => this.convert(item, `${at}/prefixItems/${index}`, depth + 1));
    const item =
      schema.items === false ? undefined : this.convert(schema.items ?? true, `${at}/items`, depth + 1);
    const [min, max] = bounds(schema, "minItems", "maxItems", at);
    return this.rules.array(heads, item, min, max);
  }

  #reference(ref: unknown, at: string, depth: number, within?: string): Rule {
    if (typeof ref !== "string") throw refuse(`${at}/$ref`, "is not a string");
    if (within !== undefined) this.#begin(within, ref, at);
    const known = this.#references.get(ref);
    if (known !== undefined) return known;
    const rule = this.rules.reserve();
    this.#references.set(ref, rule);
    this.rules.fill(rule, this.convert(this.#resolve(ref, at), ref, depth + 1, ref));
    return rule;
  }

  #begin(outer: string, inner: string, at: string): void {
    const set = this.#beginsWith.get(outer) ?? new Set();
    this.#beginsWith.set(outer, set.add(inner));
    const reaches = (from: string, seen = new Set<string>()): boolean => {
      if (from === outer) return true;
      if (seen.has(from)) return false;
      seen.add(from);
      return [...(this.#beginsWith.get(from) ?? [])].some((next) => reaches(next, seen));
    };
    if (reaches(inner)) throw refuse(`${at}/$ref`, "refers to itself without a value in between");
  }

  #resolve(ref: unknown, at: string): unknown {
    if (typeof ref !== "string" || !/^#(\/|$)/.test(ref))
      throw refuse(`${at}/$ref`, "must point into the schema: #/…");
    let found: unknown = this.#root;
    for (const step of ref.split("/").slice(1)) {
      const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
      const goesOn = (isObject(found) || Array.isArray(found)) && Object.hasOwn(found, key);
      found = goesOn ? (found as Schema)[key] : undefined;
    }
    if (found === undefined) throw refuse(`${at}/$ref`, `points nowhere: ${ref}`);
    return found;
  }
}

const isObject = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function list(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw refuse(at, "must be a list that is not empty");
  return value;
}

function bounds(schema: Schema, low: string, high: string, at: string): [number, number | undefined] {
  const read = (key: string) => {
    const value = schema[key];
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < 0)
      throw refuse(`${at}/${key}`, "must be a whole number");
    return value as number;
  };
  const [min = 0, max] = [read(low), read(high)];
  if (max !== undefined && max < min) throw refuse(`${at}/${high}`, `is less than ${low}`);
  return [Math.min(min, MAX_REPEAT), max !== undefined && max <= MAX_REPEAT ? max : undefined];
}

const refuse = (at: string, what: string) => invalid(PARAM, `The schema at ${at} ${what}.`);

/** A rule's name, or any other expression that a rule may contain. */
type Rule = string;
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

/** The rules of one grammar. */
class Rules {
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
