// The schema that an answer is constrained to. Each server has its own word for that wish: OpenAI `response_format`, llama-server
// `json_schema` and a schema inside `json_object`, vLLM `guided_json` and `structured_outputs`, Ollama `format`. All are read here. What a
// schema may hold is the business of json-schema-to-gbnf.ts.
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { invalid, type JsonSchema } from "../generation/backend.ts";

const ANY_OBJECT = { type: "object" };

const isSchema = (value: unknown) =>
  typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value));
/** What is in it is checked by whoever compiles it. */
const Schema = z.custom<JsonSchema>(isSchema, { error: "must be a JSON schema: an object or a boolean" });
/** vLLM takes a schema as its JSON too. */
const SchemaOrText = z.preprocess((value) => (typeof value === "string" ? parsed(value) : value), Schema);

const ResponseFormat = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object"), schema: Schema.nullish() }),
    z
      .strictObject({
        type: z.literal("json_schema"),
        json_schema: z
          .strictObject({
            name: z.string().nullish(),
            description: z.string().nullish(),
            // A text in LM Studio's own examples. An answer is held to its schema in any case.
            strict: z.union([z.boolean(), z.literal(["true", "false"])]).nullish(),
            schema: Schema,
          })
          .nullish(),
        // llama-server's form, and that of /v1/responses.
        schema: Schema.nullish(),
        name: z.string().nullish(),
        description: z.string().nullish(),
        strict: z.boolean().nullish(),
      })
      .refine(({ json_schema, schema }) => (json_schema == null) !== (schema == null), {
        path: ["json_schema"],
        error: "give one schema, as json_schema.schema",
      }),
  ],
  {
    error: ({ code }) =>
      code === "invalid_union" ? "type must be text, json_object or json_schema" : undefined,
  },
);

const NOT_JSON = {
  error: "is not supported; send a JSON schema as response_format.json_schema, with an enum for a choice",
};

export const formatFields = {
  response_format: ResponseFormat.nullish(),
  json_schema: Schema.nullish(),
  guided_json: SchemaOrText.nullish(),
  format: z.union([z.literal(["", "json"]), Schema], { error: 'must be "json" or a JSON schema' }).nullish(),
  structured_outputs: z
    .strictObject({
      json: SchemaOrText.nullish(),
      json_object: z.boolean().nullish(),
      regex: z.null(NOT_JSON).optional(),
      choice: z.null(NOT_JSON).optional(),
      grammar: z.null(NOT_JSON).optional(),
      structural_tag: z.null(NOT_JSON).optional(),
      whitespace_pattern: z.null({ error: "is not supported" }).optional(),
      // The grammar writes one space at most, and no members that a schema does not list.
      disable_any_whitespace: z.boolean().nullish(),
      disable_additional_properties: z.boolean().nullish(),
    })
    .nullish(),
};
type FormatFields = z.output<z.ZodObject<typeof formatFields>>;

/** Undefined for an answer in free text. Throws when two fields wish for different ones. */
export function schemaOf(fields: FormatFields): JsonSchema | undefined {
  const { response_format, json_schema, guided_json, format, structured_outputs: outputs } = fields;
  const wishes: [string, JsonSchema | null | undefined][] = [
    ["response_format", ofResponseFormat(response_format)],
    ["json_schema", unwrapped(json_schema)],
    ["guided_json", guided_json],
    ["format", format === "json" ? ANY_OBJECT : format === "" ? undefined : format],
    ["structured_outputs", outputs?.json ?? (outputs?.json_object ? ANY_OBJECT : undefined)],
  ];
  const said = wishes.filter(([, schema]) => schema != null);
  const [first] = said;
  const other = said.find(([, schema]) => !isDeepStrictEqual(schema, first![1]));
  if (other) throw invalid(other[0], `${other[0]}: contradicts ${first![0]}; send one of them.`);
  return first?.[1] ?? undefined;
}

function ofResponseFormat(format: FormatFields["response_format"]): JsonSchema | undefined {
  if (format?.type === "json_object") return format.schema ?? ANY_OBJECT;
  if (format?.type !== "json_schema") return undefined;
  return format.json_schema?.schema ?? format.schema ?? undefined;
}

/** At the top stands the schema itself. Some put OpenAI's wrapper there, which would be a schema that allows everything. */
function unwrapped(schema: JsonSchema | null | undefined): JsonSchema | null | undefined {
  if (typeof schema !== "object" || schema === null || !isSchema(schema.schema)) return schema;
  const isWrapper = Object.keys(schema).every((key) =>
    ["name", "description", "strict", "schema"].includes(key),
  );
  return isWrapper ? (schema.schema as JsonSchema) : schema;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
