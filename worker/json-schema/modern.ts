// Reads a JSON schema of any draft as one of 2020-12 whose references all begin with #/, so that whoever works with it knows one form
// only: lists in `items` become `prefixItems`, `dependencies` are split, `$id` and anchors are resolved and left out. What the keywords
// mean to a value is left to others. Pure.
import { KamadoError } from "../errors.ts";

type Schema = Record<string, unknown>;

/** Keywords that hold a schema, a list of schemas, or schemas by name. */
const ONE = new Set(
  "additionalProperties items contains not if then else propertyNames unevaluatedItems unevaluatedProperties contentSchema".split(
    " ",
  ),
);
const LIST = new Set("allOf anyOf oneOf prefixItems".split(" "));
const NAMED = new Set("properties patternProperties $defs definitions dependentSchemas".split(" "));
/** Values, in which nothing is a keyword. */
const VALUES = new Set("const enum default examples example required dependentRequired type".split(" "));
const LEFT_OUT = new Set(
  "$id id $schema $anchor $dynamicAnchor $recursiveAnchor $vocabulary $dynamicRef $recursiveRef additionalItems dependencies nullable".split(
    " ",
  ),
);
const MAX_DEPTH = 200;
/** Where a schema without an `$id` is. */
const HERE = "schema://here/";

/** Throws `invalid_input` when it is nested too deeply. A reference that leads nowhere stays as it is. */
export function modernSchema<S extends Schema | boolean>(schema: S): S {
  return typeof schema === "boolean" ? schema : (new Reader().read(schema) as S);
}

/** Where a schema stood and stands now. Pointers have ~ escapes and no percent escapes. */
type Place = { old: string; now: string; base: string; depth: number };

class Reader {
  /** The place of each schema by where it stood, by its own address, and by address and anchor. */
  readonly #now = new Map<string, string>();
  readonly #resources = new Map<string, string>();
  readonly #anchors = new Map<string, string>();
  readonly #references: { holder: Schema; ref: string; base: string }[] = [];

  read(schema: Schema): Schema {
    this.#resources.set(HERE, "");
    const made = this.#schema(schema, { old: "", now: "", base: HERE, depth: 0 }) as Schema;
    for (const { holder, ref, base } of this.#references) holder.$ref = this.#resolved(ref, base) ?? ref;
    return made;
  }

  #schema(value: unknown, place: Place): unknown {
    if (place.depth > MAX_DEPTH) throw new KamadoError("invalid_input", "The schema is nested too deeply.");
    if (Array.isArray(value)) return value.map((one, at) => this.#schema(one, inner(place, `${at}`)));
    if (!isObject(value)) return value;
    if (value.nullable === true && !("type" in value)) return this.#schema(nullable(value), place);
    this.#now.set(place.old, place.now);
    const here = { ...place, base: this.#named(value, place) };
    // Without a prototype, so that "__proto__" is an ordinary key.
    const made: Schema = Object.assign(Object.create(null), null);
    for (const [key, entry] of Object.entries(value)) {
      if (LEFT_OUT.has(key) && !isUnknownId(key, entry)) continue;
      made[key] = this.#entry(key, entry, here);
    }
    this.#addReference(value, made, here.base);
    this.#addOlder(value, made, here);
    return made;
  }

  /** The address of the schema and what is in it; its anchors are noted. */
  #named(schema: Schema, { old, base }: Place): string {
    const id = schema.$id ?? schema.id;
    const own = typeof id === "string" ? addressOf(id, base) : undefined;
    const address = own === undefined ? base : withoutFragment(own);
    if (own !== undefined && address !== base) this.#resources.set(address, old);
    // Until draft 7 an anchor was an $id that begins with #.
    const anchors = [schema.$anchor, schema.$dynamicAnchor, own && new URL(own).hash.slice(1)];
    for (const anchor of anchors)
      if (typeof anchor === "string" && anchor !== "") this.#anchors.set(`${address}#${anchor}`, old);
    return address;
  }

  #entry(key: string, entry: unknown, place: Place): unknown {
    const within = inner(place, key);
    if (VALUES.has(key)) return entry;
    if (key === "items" && Array.isArray(entry)) return undefined;
    if (ONE.has(key) || LIST.has(key)) return this.#schema(entry, within);
    if (NAMED.has(key) || isObject(entry)) return this.#byName(entry, within);
    return entry;
  }

  /** Schemas by name, also those below a keyword that nobody knows: references may point there. */
  #byName(entry: unknown, place: Place): unknown {
    if (!isObject(entry)) return entry;
    const made: Schema = Object.create(null);
    for (const [name, one] of Object.entries(entry)) made[name] = this.#schema(one, inner(place, name));
    return made;
  }

  #addReference(schema: Schema, made: Schema, base: string): void {
    const ref = schema.$ref ?? schema.$dynamicRef ?? schema.$recursiveRef;
    if (ref === undefined) return;
    made.$ref = ref;
    if (typeof ref === "string") this.#references.push({ holder: made, ref, base });
  }

  /** What older drafts and OpenAPI say in another way. */
  #addOlder(schema: Schema, made: Schema, place: Place): void {
    if (Array.isArray(schema.items)) this.#addTuple(schema, made, place);
    for (const [name, one] of Object.entries(isObject(schema.dependencies) ? schema.dependencies : {})) {
      const [keyword, value] = Array.isArray(one)
        ? (["dependentRequired", one] as const)
        : ([
            "dependentSchemas",
            this.#schema(
              one,
              moved(place, `dependencies/${escaped(name)}`, `dependentSchemas/${escaped(name)}`),
            ),
          ] as const);
      made[keyword] = { ...(made[keyword] as object | undefined), [name]: value };
    }
    for (const [exclusive, limit] of [
      ["exclusiveMinimum", "minimum"],
      ["exclusiveMaximum", "maximum"],
    ] as const) {
      if (typeof schema[exclusive] !== "boolean") continue;
      delete made[exclusive];
      if (!schema[exclusive] || !(limit in made)) continue;
      made[exclusive] = made[limit];
      delete made[limit];
    }
    if (schema.nullable === true && typeof made.type === "string") made.type = [made.type, "null"];
    this.#addRequired(schema, made);
  }

  /** Until draft 3 a property said of itself that it is required. */
  #addRequired(schema: Schema, made: Schema): void {
    if (typeof made.required === "boolean") delete made.required;
    const properties = Object.entries(isObject(schema.properties) ? schema.properties : {});
    const own = properties.filter(([, one]) => isObject(one) && one.required === true).map(([name]) => name);
    const listed = Array.isArray(made.required) ? made.required : [];
    if (own.length + listed.length > 0) made.required = [...new Set([...listed, ...own])];
  }

  #addTuple(schema: Schema, made: Schema, place: Place): void {
    delete made.items;
    made.prefixItems = (schema.items as unknown[]).map((one, at) =>
      this.#schema(one, moved(place, `items/${at}`, `prefixItems/${at}`)),
    );
    if ((made.prefixItems as unknown[]).length === 0) delete made.prefixItems;
    if ("additionalItems" in schema)
      made.items = this.#schema(schema.additionalItems, moved(place, "additionalItems", "items"));
  }

  #resolved(ref: string, base: string): string | undefined {
    const address = addressOf(ref, base);
    if (address === undefined) return undefined;
    const resource = this.#resources.get(withoutFragment(address));
    const fragment = decoded(new URL(address).hash.slice(1));
    if (resource === undefined) return undefined;
    const old =
      fragment === "" || fragment.startsWith("/")
        ? resource + fragment
        : this.#anchors.get(`${withoutFragment(address)}#${fragment}`);
    const now = old === undefined ? undefined : this.#now.get(old);
    return now === undefined ? undefined : `#${encodeURI(now).replaceAll("#", "%23")}`;
  }
}

const isObject = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `id` was a keyword until draft 4. Elsewhere an `id` that is no text is nothing that is known. */
const isUnknownId = (key: string, value: unknown) => key === "id" && typeof value !== "string";

/** OpenAPI's generators write it beside references and unions, too. */
function nullable({ nullable: _, $defs, definitions, ...schema }: Schema): Schema {
  const kept = { ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }) };
  return { ...kept, anyOf: [schema, { type: "null" }] };
}

const escaped = (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1");

const inner = (place: Place, key: string): Place => moved(place, escaped(key), escaped(key));

function moved({ old, now, base, depth }: Place, from: string, to: string): Place {
  return { old: `${old}/${from}`, now: `${now}/${to}`, base, depth: depth + 1 };
}

const addressOf = (reference: string, base: string) => URL.parse(reference, base)?.href;
const withoutFragment = (address: string) => address.replace(/#.*$/s, "");

/** A pointer in a fragment is percent-encoded; some senders write it as it is. */
function decoded(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}
