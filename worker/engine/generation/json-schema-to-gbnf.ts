// Turns a JSON schema into a GBNF grammar. Only grammars that are made here reach native code, which aborts on what it cannot parse.
// The grammar writes the value compactly, with members in the schema's order. Pure.
//
// It enforces the structure: types, properties, required, items, enums, unions, references, lengths, and limits of whole numbers. What a
// grammar cannot express (pattern, format, uniqueItems, not, if, …) is left to whoever checks the answer; `saysMore` tells whether a
// schema has any of it. The rules for values are in json-rules.ts. A schema whose alternatives cannot be told apart early enough is
// refused: see left-factoring.ts and grammar-bound.ts.
import { isDeepStrictEqual } from "node:util";
import { KamadoError } from "../../errors.ts";
import { modernSchema } from "../../json-schema/modern.ts";
import { type CallStart, type Generation, invalid, type JsonSchema } from "./backend.ts";
import { type Grammar, gbnf, keyOf, type Sequence } from "./grammar.ts";
import { type Excess, excessOf, MAX_STACKS } from "./grammar-bound.ts";
import { type Bounds, MAX_ALTERNATIVES, MAX_REPEAT, Rules, refuse, text, Work, WS } from "./json-rules.ts";
import { leftFactored } from "./left-factoring.ts";
import { isInfinite, rangeOf } from "./number-ranges.ts";

const MAX_DEPTH = 48;
const MAX_RULES = 4_000;
const MAX_CONVERSIONS = 20_000;
/** Of all texts in the schema, and of the grammar. */
const MAX_TEXT = 256 * 1_024;
const MAX_LENGTH = 1_024 * 1_024;
/** Characters that are compared for the price of one element. */
const CHARACTERS_PER_ELEMENT = 16;
/** Keywords of which the grammar enforces nothing, or not everything. */
export const SAY_MORE: ReadonlySet<string> = new Set(
  `pattern format multipleOf uniqueItems minProperties maxProperties contains minContains maxContains not if dependentRequired
  dependentSchemas patternProperties propertyNames unevaluatedProperties unevaluatedItems oneOf allOf minimum maximum
  exclusiveMinimum exclusiveMaximum minLength maxLength minItems maxItems`.split(/\s+/),
);
/** Beside a list of values they say more than the grammar looks at. */
const BESIDE_VALUES = "anyOf properties required additionalProperties items prefixItems".split(" ");
/** Beside a union they hold for each of its alternatives. */
const SHARED: ReadonlySet<string> = new Set([...SAY_MORE, ...BESIDE_VALUES, "type"]);
/** Beside a reference they say nothing about the value. */
const NOTES = new Set(
  "$ref title description default examples example deprecated readOnly writeOnly $comment $defs definitions".split(
    " ",
  ),
);
/** What a schema without a type is about. */
const GUESSES = [
  ...["properties", "required", "additionalProperties", "patternProperties"].map(
    (key) => [key, "object"] as const,
  ),
  ...["items", "prefixItems"].map((key) => [key, "array"] as const),
];
const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];

type Schema = Record<string, unknown>;

/** Of schemas up to this length, so many grammars are kept: requests of one kind have the same schema. */
const KEPT = { grammars: 64, length: 16 * 1_024 };
const kept = new Map<string, string>();

/** Throws `invalid_input`, which says what in the schema is wrong, cannot be expressed or would cost too much. */
export function jsonGrammar(schema: JsonSchema): string {
  return keptOrMade(JSON.stringify(schema), () => grammarOf(schema));
}

function keptOrMade(key: string, make: () => string): string {
  const grammar = kept.get(key) ?? make();
  if (key.length > KEPT.length) return grammar;
  kept.delete(key);
  kept.set(key, grammar);
  if (kept.size > KEPT.grammars) kept.delete(kept.keys().next().value!);
  return grammar;
}

/** Whether an answer that follows the grammar may still not fit the schema. */
export function saysMore(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.some(saysMore);
  if (!isObject(schema)) return false;
  if (("enum" in schema || "const" in schema) && BESIDE_VALUES.some((key) => key in schema)) return true;
  // Names of properties may look like keywords. Then the answer is checked without need.
  return Object.entries(schema).some(([key, value]) => SAY_MORE.has(key) || saysMore(value));
}

function grammarOf(given: JsonSchema): string {
  const schema = modernSchema(given);
  const converter = new Converter(schema);
  const value = converter.convert(schema, "#", 0);
  return limitedText(boundedGrammar(converter.rules.grammar([WS, ...value])));
}

function limitedText(grammar: Grammar): string {
  const text = gbnf(grammar);
  if (text.length > MAX_LENGTH) throw refuse("#", "is too large");
  rulesByText.set(text, grammar);
  if (rulesByText.size > KEPT.grammars) rulesByText.delete(rulesByText.keys().next().value!);
  return text;
}

/** What an answer must follow; undefined where it is free. Throws as `jsonGrammar` does. */
export function grammarFor({ calls, schema }: Pick<Generation, "calls" | "schema">): string | undefined {
  if (calls !== undefined) return callsGrammar(calls);
  return schema === undefined ? undefined : jsonGrammar(schema);
}

/** One of these calls: a text, then the arguments. An error names the field that holds their schema. */
export function callsGrammar(calls: readonly CallStart[]): string {
  const key = `calls ${JSON.stringify(calls.map(({ before, tool }) => [before, tool.parameters]))}`;
  return keptOrMade(key, () => {
    const rules = new Rules(new Work());
    const ways = calls.map(({ before, tool }): Sequence => {
      const value = naming(tool.at, () =>
        new Converter(tool.parameters, rules).convert(tool.parameters, "#", 0),
      );
      return before === "" ? value : [text(before), ...value];
    });
    return naming(calls.length === 1 ? calls[0]!.tool.at : "tools", () => {
      const grammar = boundedGrammar([{ alternatives: distinct(ways), at: "#" }, ...rules.all.slice(1)]);
      return limitedText(grammar);
    });
  });
}

/** What is wrong with a schema, said of the field that holds it. */
function naming<T>(param: string, make: () => T): T {
  try {
    return make();
  } catch (thrown) {
    if (!(thrown instanceof KamadoError)) throw thrown;
    throw invalid(param, `${param}: ${thrown.message}`, thrown);
  }
}

const rulesByText = new Map<string, Grammar>();

/** The rules of a grammar that was made here; undefined where they are no longer kept. */
export const rulesOf = (grammar: string): Grammar | undefined => rulesByText.get(grammar);

/** Native code follows every alternative that fits, and cannot be interrupted. So what it gets is bounded here. */
function boundedGrammar(grammar: Grammar): Grammar {
  const factored = leftFactored(grammar);
  if (factored === undefined) throw refuse("#", "is too large");
  const excess = excessOf(factored);
  if (excess) throw refuse(excess.at, EXCESS[excess.of]);
  return factored;
}

const EXCESS: Record<Excess["of"], string> = {
  ways: "is ambiguous: too many of its alternatives fit the same text. Let alternatives differ in an early property, for example a type with a const, or merge them",
  stacks: `has too many values that differ in the same character; at most ${MAX_STACKS} may. Split the schema, or let the value be any string`,
  paths: "has too many alternatives within alternatives. Merge those that are alike",
  size: "is too large",
};

class Converter {
  readonly #work: Work;
  readonly rules: Rules;
  readonly #root: JsonSchema;
  readonly #references = new Map<string, Sequence>();
  // Which references begin with which other ones: a circle among them would never write a character.
  readonly #beginsWith = new Map<string, Set<string>>();
  #conversions = 0;
  #text = 0;

  constructor(root: JsonSchema, rules = new Rules(new Work())) {
    this.rules = rules;
    this.#work = rules.work;
    this.#root = root;
  }

  /** `within`: the reference whose value begins with this one, if there is one. */
  convert(schema: unknown, at: string, depth: number, within?: string): Sequence {
    if (depth > MAX_DEPTH) throw refuse(at, "is nested too deeply");
    const { all, alternatives } = this.rules;
    const isLarge = all.length > MAX_RULES || alternatives > MAX_ALTERNATIVES;
    if (isLarge || ++this.#conversions > MAX_CONVERSIONS) throw refuse(at, "makes the schema too large");
    if (schema === true) return this.rules.value;
    if (schema === false) throw refuse(at, "allows no value");
    if (!isObject(schema)) throw refuse(at, "is not a schema");
    const here = schema;
    if ("$ref" in here) return this.#referenceIn(here, at, depth, within);
    if ("allOf" in here) return this.convert(this.#merged(here, at), at, depth + 1, within);
    if ("const" in here || "enum" in here) return this.#values(here, at);
    const union = "anyOf" in here ? "anyOf" : "oneOf" in here ? "oneOf" : undefined;
    if (union) return this.#union(here, union, at, depth, within);
    return this.#typed(here, at, depth);
  }

  #values(schema: Schema, at: string): Sequence {
    const where = "enum" in schema ? `${at}/enum` : at;
    const given = "enum" in schema ? list(schema.enum, where) : [schema.const];
    const isConst = (value: unknown) => !("const" in schema) || isDeepStrictEqual(value, schema.const);
    const values = given.filter((value) => isOfType(value, schema.type) && isConst(value));
    if (values.length === 0) throw refuse(where, "has no value that its type or const allows");
    return this.#oneOf(
      values.map((value) => this.#literal(value, at)),
      where,
    );
  }

  /** What stands beside a union holds for each alternative. Those that it leaves no value are left out. */
  #union(schema: Schema, keyword: "anyOf" | "oneOf", at: string, depth: number, within?: string): Sequence {
    const { [keyword]: options, ...common } = schema;
    const isShared = Object.keys(common).some((key) => SHARED.has(key));
    const ways = list(options, `${at}/${keyword}`).flatMap((option, index): Sequence[] => {
      const where = `${at}/${keyword}/${index}`;
      if (option === false) return [];
      if (!isShared || option === true)
        return [this.convert(option === true ? common : option, where, depth + 1, within)];
      const whole = this.#merged({ allOf: [common, option] }, where);
      if (Array.isArray(whole.type) && whole.type.length === 0) return [];
      return [this.convert(whole, where, depth + 1, within)];
    });
    if (ways.length === 0) throw refuse(`${at}/${keyword}`, "allows no value");
    return this.#oneOf(ways, `${at}/${keyword}`);
  }

  /** Without the values that another one includes. */
  #oneOf(values: readonly Sequence[], at: string): Sequence {
    const { value, string } = this.rules;
    if (values.includes(value)) return value;
    const rest = values.includes(string) ? values.filter((one) => one === string || !isString(one)) : values;
    return this.rules.add(distinct(rest), at);
  }

  #literal(value: unknown, at: string): Sequence {
    const json = JSON.stringify(value);
    this.#text += json.length;
    if (this.#text > MAX_TEXT) throw refuse(at, "is too large");
    return [text(json)];
  }

  /** allOf as one schema. What its parts say of one thing is united, or they must not contradict each other. */
  #merged({ allOf, ...rest }: Schema, at: string): Schema {
    // Without a prototype, so that "__proto__" is an ordinary key.
    const merged: Schema = Object.assign(Object.create(null), rest);
    for (const [index, part] of list(allOf, `${at}/allOf`).entries()) {
      const where = `${at}/allOf/${index}`;
      for (const one of this.#partsOf(part, where)) {
        const entries = Object.entries(one);
        this.#work.spend(entries.length, where);
        for (const [key, value] of entries) merged[key] = this.#join(merged[key], value, key, where);
      }
    }
    return merged;
  }

  /** A reference and what stands beside it. */
  #partsOf(part: unknown, at: string): Schema[] {
    if (part === true) return [];
    if (!isObject(part)) throw refuse(at, "is not an object schema");
    if (!("$ref" in part)) return [part];
    const { $ref, ...beside } = part;
    const found = this.#resolve($ref, at);
    if (!isObject(found)) throw refuse(at, "is not an object schema");
    return [found, beside];
  }

  #join(before: unknown, value: unknown, key: string, at: string): unknown {
    if (before === undefined) return value;
    if (key === "properties" && isObject(before) && isObject(value))
      return this.#unitedProperties(before, value, at);
    if (key === "required" && Array.isArray(before) && Array.isArray(value)) {
      this.#work.spend(before.length + value.length, at);
      return [...new Set([...before, ...value])];
    }
    if (key === "type") return commonTypes(before, value);
    if (key === "enum" && Array.isArray(before) && Array.isArray(value)) {
      this.#work.spend(before.length * value.length, at);
      return before.filter((one) => value.some((other) => isDeepStrictEqual(one, other)));
    }
    if (key === "items" || key === "additionalProperties") return this.#both(before, value, at);
    if (typeof before === "number" && typeof value === "number" && key in NARROWER)
      return NARROWER[key]!(before, value);
    // Both are checked when the answer is there.
    if (NOTES.has(key) || (SAY_MORE.has(key) && !STRUCTURE.has(key))) return before;
    if (!this.#areEqual(before, value, at)) throw refuse(`${at}/${key}`, "contradicts another part of allOf");
    return value;
  }

  #unitedProperties(before: Schema, value: Schema, at: string): Schema {
    this.#work.spend(Object.keys(before).length + Object.keys(value).length, at);
    const united: Schema = Object.assign(Object.create(null), before);
    for (const [name, schema] of Object.entries(value))
      united[name] = name in united ? this.#both(united[name], schema, at) : schema;
    return united;
  }

  /** What fits both schemas. */
  #both(before: unknown, value: unknown, at: string): unknown {
    if (before === false || value === false) return false;
    if (before === true) return value;
    return value === true || this.#areEqual(before, value, at) ? before : { allOf: [before, value] };
  }

  #areEqual(before: unknown, value: unknown, at: string): boolean {
    const [one, other] = [JSON.stringify(before), JSON.stringify(value)];
    this.#work.spend((one.length + other.length) / CHARACTERS_PER_ELEMENT, at);
    return one === other;
  }

  #typed(schema: Schema, at: string, depth: number): Sequence {
    const type = schema.type ?? GUESSES.find(([key]) => key in schema)?.[1];
    if (type === undefined) return this.rules.value;
    if (Array.isArray(type)) {
      return this.#oneOf(
        [...new Set(list(type, `${at}/type`))].map((one) => this.#typed({ ...schema, type: one }, at, depth)),
        `${at}/type`,
      );
    }
    if (type === "object") return this.#object(schema, at, depth);
    if (type === "array") return this.#array(schema, at, depth);
    if (type === "string") return this.rules.stringOf(bounds(schema, "minLength", "maxLength", at), at);
    if (type === "number" || type === "integer") return this.#number(schema, type, at);
    if (type === "boolean" || type === "null") return this.rules[type];
    throw refuse(`${at}/type`, `is not one of ${TYPES.join(", ")}`);
  }

  #number(schema: Schema, type: "number" | "integer", at: string): Sequence {
    const range = rangeOf(schema, type === "integer");
    if (range === undefined) throw refuse(at, "has a minimum that is more than its maximum");
    return isInfinite(range) ? this.rules[type] : this.rules.numberIn(range, type, at);
  }

  #object(schema: Schema, at: string, depth: number): Sequence {
    const { required = [] } = schema;
    const properties = propertiesOf(schema);
    const more = membersOf(schema);
    if (!isObject(properties)) throw refuse(`${at}/properties`, "is not an object");
    if (!Array.isArray(required) || required.some((name) => typeof name !== "string"))
      throw refuse(`${at}/required`, "is not a list of names");
    const other = isObject(more) ? more : true;
    // A property that may have no value must be left out.
    const named = Object.keys(properties).filter((name) => properties[name] !== false);
    const keys = [...new Set([...named, ...(required as string[])])];
    const forbidden = more === false && keys.find((key) => !Object.hasOwn(properties, key));
    if (typeof forbidden === "string")
      throw refuse(
        `${at}/required`,
        `names ${JSON.stringify(forbidden)}, which additionalProperties forbids`,
      );
    const members = keys.map((key) => {
      // hasOwn, because "constructor" is an ordinary name too.
      const schema = Object.hasOwn(properties, key) ? properties[key] : other;
      return {
        value: [
          ...this.#literal(key, at),
          text(":"),
          WS,
          ...this.convert(schema, `${at}/properties/${key}`, depth + 1),
        ],
        required: required.includes(key),
      };
    });
    // Without properties any member is allowed. With them no other is, unless additionalProperties is a schema.
    const open = isObject(more) || (keys.length === 0 && more !== false);
    const value = open ? this.convert(other, `${at}/additionalProperties`, depth + 1) : undefined;
    const rest = value && [...this.#key(schema.propertyNames, at), text(":"), WS, ...value];
    return this.rules.object(members, rest, at);
  }

  /** The allowed names of members that are not listed. */
  #key(names: unknown, at: string): Sequence {
    if (!isObject(names) || !("enum" in names)) return this.rules.string;
    const where = `${at}/propertyNames/enum`;
    const keys = list(names.enum, where).filter((name) => typeof name === "string");
    if (keys.length === 0) throw refuse(where, "has no names");
    return this.#oneOf(
      keys.map((name) => this.#literal(name, where)),
      where,
    );
  }

  #array(schema: Schema, at: string, depth: number): Sequence {
    const { min, max } = bounds(schema, "minItems", "maxItems", at);
    const fixed = "prefixItems" in schema ? list(schema.prefixItems, `${at}/prefixItems`) : [];
    const first = fixed.slice(0, max);
    const heads = first.map((item, index) => this.convert(item, `${at}/prefixItems/${index}`, depth + 1));
    const item =
      schema.items === false ? undefined : this.convert(schema.items ?? true, `${at}/items`, depth + 1);
    return this.rules.array(heads, item, { min, max }, at);
  }

  /** What stands beside a reference narrows it. */
  #referenceIn(schema: Schema, at: string, depth: number, within?: string): Sequence {
    if (Object.keys(schema).every((key) => NOTES.has(key)))
      return this.#reference(schema.$ref, at, depth, within);
    const { $ref, ...beside } = schema;
    return this.convert(this.#merged({ ...beside, allOf: [{ $ref }] }, at), at, depth + 1, within);
  }

  #reference(ref: unknown, at: string, depth: number, within?: string): Sequence {
    if (typeof ref !== "string") throw refuse(`${at}/$ref`, "is not a string");
    if (within !== undefined) this.#begin(within, ref, at);
    const known = this.#references.get(ref);
    if (known !== undefined) return known;
    const rule = this.rules.reserve(ref);
    this.#references.set(ref, [rule]);
    this.rules.fill(rule, [this.convert(this.#resolve(ref, at), ref, depth + 1, ref)]);
    return [rule];
  }

  #begin(outer: string, inner: string, at: string): void {
    const set = this.#beginsWith.get(outer) ?? new Set();
    this.#beginsWith.set(outer, set.add(inner));
    const reaches = (from: string, seen = new Set<string>()): boolean => {
      this.#work.spend(1, at);
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
      const key = unescaped(step).replaceAll("~1", "/").replaceAll("~0", "~");
      const goesOn = (isObject(found) || Array.isArray(found)) && Object.hasOwn(found, key);
      found = goesOn ? (found as Schema)[key] : undefined;
    }
    if (found === undefined) throw refuse(`${at}/$ref`, `points nowhere: ${ref}`);
    return found;
  }
}

/** A reference is a URI. */
function unescaped(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

/** Those that a condition brings along may be written too. */
function propertiesOf(schema: Schema): unknown {
  const dependent = isObject(schema.dependentSchemas) ? Object.values(schema.dependentSchemas) : [];
  const conditional = [schema.then, schema.else, ...dependent]
    .filter(isObject)
    .map(({ properties }) => properties);
  const own = schema.properties ?? {};
  if (!isObject(own) || !conditional.some(isObject)) return own;
  return Object.assign(Object.create(null), own, ...conditional.filter(isObject), own);
}

/** What members that are not listed look like. Names with a pattern cannot be told from others, so all names are allowed. */
function membersOf({ additionalProperties, patternProperties }: Schema): unknown {
  if (!isObject(patternProperties)) return additionalProperties;
  const [only, ...others] = Object.values(patternProperties);
  if (additionalProperties !== false || others.length > 0) return {};
  return only === undefined ? false : isObject(only) ? only : {};
}

const isObject = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function isOfType(value: unknown, type: unknown): boolean {
  if (type === undefined) return true;
  if (Array.isArray(type)) return type.some((one) => isOfType(value, one));
  if (type === "integer") return Number.isInteger(value);
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  return type === "object" ? isObject(value) : typeof value === type;
}

/** The types that both allow: integers are numbers. An empty list where there are none. */
function commonTypes(before: unknown, value: unknown): unknown {
  const [one, other] = [[before].flat(), [value].flat()];
  const fits = (type: unknown, types: readonly unknown[]) =>
    types.includes(type) || (type === "integer" && types.includes("number"));
  const both = new Set([
    ...one.filter((type) => fits(type, other)),
    ...other.filter((type) => fits(type, one)),
  ]);
  return both.size === 1 ? [...both][0] : [...both];
}

function list(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw refuse(at, "must be a list that is not empty");
  return value;
}

function bounds(schema: Schema, low: string, high: string, at: string): Bounds {
  const read = (key: string) => {
    const value = schema[key];
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < 0)
      throw refuse(`${at}/${key}`, "must be a whole number");
    return value as number;
  };
  const [min = 0, max = Number.POSITIVE_INFINITY] = [read(low), read(high)];
  if (max < min) throw refuse(`${at}/${high}`, `is less than ${low}`);
  return { min: Math.min(min, MAX_REPEAT), max: max <= MAX_REPEAT ? max : Number.POSITIVE_INFINITY };
}

const distinct = (values: readonly Sequence[]) => [
  ...new Map(values.map((one) => [keyOf(one), one])).values(),
];
/** Whether all that it stands for are strings. */
const isString = ([first]: Sequence) => first !== undefined && "text" in first && first.text.startsWith('"');

/** Of two limits, the one that allows less. */
const NARROWER: Record<string, (one: number, other: number) => number> = {
  minimum: Math.max,
  exclusiveMinimum: Math.max,
  minLength: Math.max,
  minItems: Math.max,
  maximum: Math.min,
  exclusiveMaximum: Math.min,
  maxLength: Math.min,
  maxItems: Math.min,
};
/** Two of these have to be the same, or the grammar would allow what neither means. */
const STRUCTURE = new Set(["oneOf", "allOf", "$ref", "propertyNames", "patternProperties"]);
