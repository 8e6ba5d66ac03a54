// `npm run client:kinds`: writes kinds.ts, the types of the kinds in handlers/ and of a receipt, from their schemas. The client is
// typed by it without zod: whoever installs the client needs neither the handlers nor their schemas.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Handler } from "../worker/job/handler.ts";
import { loadRegistry } from "../worker/job/registry.ts";
import { Receipt } from "../worker/job/result.ts";

export const KINDS_FILE = join(import.meta.dirname, "kinds.ts");

const HEAD = `// Written by \`npm run client:kinds\` from handlers/ and worker/job/result.ts. Do not edit.

/** An address (s3://bucket/key, https://… or a data: URI), or the bytes themselves: they are uploaded to the bucket. */
export type Address = string | Uint8Array | Blob;
`;

/** The text of kinds.ts. */
export async function kindsText(handlersFolder: string): Promise<string> {
  const registry = await loadRegistry(handlersFolder, (error) => {
    throw error;
  });
  const kinds = [...registry.values()].map(
    (handler) =>
      `${comment(handler.summary, 1)}  ${JSON.stringify(handler.kind)}: {\n    input: ${inputType(handler)};\n    output: ${typeOf(jsonSchema(handler.output, "output"), 2)};\n  };\n`,
  );
  const receipt = `\n/** What a job cost. */\nexport type Receipt = ${typeOf(jsonSchema(Receipt, "output"), 0)};\n`;
  return `${HEAD}\n/** What each kind of job takes and gives. */\nexport type Kinds = {\n${kinds.join("")}};\n${receipt}`;
}

type Schema = {
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
};

const jsonSchema = (schema: z.ZodType, io: "input" | "output") =>
  z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Schema;

function inputType({ input, inputs }: Handler): string {
  return typeOf(jsonSchema(input, "input"), 2, addressesIn(inputs));
}

/**
 * The fields that a handler has fetched: it is asked with an input whose fields are their own names. Only these may be bytes in place
 * of an address.
 */
function addressesIn(inputs: Handler["inputs"]): ReadonlySet<string> {
  const named = new Proxy({}, { get: (_, name) => name });
  return new Set(Object.values(inputs?.(named) ?? {}).flatMap((one) => (one ? [one.from] : [])));
}

const NO_ADDRESS: ReadonlySet<string> = new Set();

function typeOf(schema: Schema, depth: number, addresses = NO_ADDRESS): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return unionOf(schema.anyOf, depth);
  if (schema.properties) return objectType(schema, depth, addresses);
  if (schema.type === "object")
    return `Record<string, ${typeof schema.additionalProperties === "object" ? typeOf(schema.additionalProperties, depth) : "unknown"}>`;
  if (schema.type === "array") return arrayType(schema.items ?? {}, depth);
  const types = [schema.type ?? "unknown"].flat().map((type) => (type === "integer" ? "number" : type));
  return [...new Set(types)].join(" | ");
}

/** What may be anything besides is left out: it is there to be read tolerantly, not to be sent. */
function unionOf(all: readonly Schema[], depth: number): string {
  const types = new Set(all.map((one) => typeOf(one, depth)).filter((type) => type !== "unknown"));
  return [...types].join(" | ") || "unknown";
}

function arrayType(items: Schema, depth: number): string {
  const type = typeOf(items, depth);
  return / \| /.test(type) && !type.startsWith("{") ? `(${type})[]` : `${type}[]`;
}

function objectType(
  { properties = {}, required = [] }: Schema,
  depth: number,
  addresses: ReadonlySet<string>,
) {
  const fields = Object.entries(properties).map(([name, schema]) => {
    const type = addresses.has(name) ? "Address" : typeOf(schema, depth + 1);
    const key = /^\w+$/.test(name) ? name : JSON.stringify(name);
    const optional = required.includes(name) ? "" : "?";
    // As senders write it: `undefined` is the same as a field that is absent.
    const unset = optional === "" ? "" : " | undefined";
    return `${comment(schema.description, depth + 1)}${"  ".repeat(depth + 1)}${key}${optional}: ${type}${type === "unknown" ? "" : unset};\n`;
  });
  return `{\n${fields.join("")}${"  ".repeat(depth)}}`;
}

const comment = (text: string | undefined, depth: number) =>
  text === undefined ? "" : `${"  ".repeat(depth)}/** ${text.replaceAll("*/", "* /")} */\n`;

if (import.meta.main) writeFileSync(KINDS_FILE, await kindsText(join(import.meta.dirname, "../handlers")));
