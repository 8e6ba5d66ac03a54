// The tools that a model sees: one for each kind, which runs a job and waits, and five to start jobs, ask for them, cancel them and list the
// kinds. Owns their names, descriptions and schemas; what a call does is in calls.ts. Pure.
import { z } from "zod";
import { JobId, Policy } from "../job/envelope.ts";
import type { Known, Registry } from "../job/registry.ts";

/** Seconds. A client gives up after 60 unless it was told otherwise, and with it the job's id is lost. */
export const LONGEST_WAIT = 50;

/** JSON Schema of an object. */
export type Schema = { type: "object"; [key: string]: unknown };

export type Tool = {
  name: string;
  title: string;
  description: string;
  inputSchema: Schema;
  outputSchema: Schema;
  annotations: {
    readOnlyHint: boolean;
    destructiveHint: boolean;
    idempotentHint: boolean;
    openWorldHint: boolean;
  };
};

/** `whole`: the kind's input is no object by itself, so it stands in a field `input`. */
export type KindTool = { tool: Tool; handler: Known; whole: boolean };

const Id = JobId.describe("The job's id, as the call that started it returned it.");
const WaitSeconds = z
  .int()
  .min(0)
  .max(LONGEST_WAIT)
  .default(LONGEST_WAIT)
  .describe("How long to wait for the job to end.");

export const ARGUMENTS = {
  start_job: z.strictObject({
    kind: z.string().describe("One of the kinds that list_kinds names."),
    input: z.unknown().describe("The kind's input, as list_kinds shows it."),
    id: JobId.optional().describe(
      "An id of your own: the same job sent again under it runs once. By default a new one.",
    ),
    policy: Policy.optional(),
  }),
  job_status: z.strictObject({ id: Id }),
  job_result: z.strictObject({ id: Id, wait_seconds: WaitSeconds }),
  cancel_job: z.strictObject({ id: Id }),
  list_kinds: z.strictObject({
    kind: z.string().optional().describe("Only this one, with the schemas of its input and output."),
  }),
};
export type FixedTool = keyof typeof ARGUMENTS;
export const isFixed = (name: string): name is FixedTool => Object.hasOwn(ARGUMENTS, name);

const DESCRIPTIONS: Record<FixedTool, string> = {
  start_job:
    "Puts a job on the queue and returns its id at once. Use it for work that takes long, or to start several jobs; then ask with job_status or job_result.",
  job_status: "Says whether a job waits, runs or has ended, and how far it is.",
  job_result: `Returns the result of a job. Waits up to ${LONGEST_WAIT} seconds if it has not ended; then says that it still runs, and may be called again.`,
  cancel_job: "Stops a job that runs, and prevents the start of one that waits.",
  list_kinds:
    "Lists the kinds of jobs with the name of the tool that runs each. With `kind`: what its input and output look like.",
};

/** They change nothing, so that they work for who may only read. */
export const READ_ONLY: readonly string[] = ["job_status", "job_result", "list_kinds"] satisfies FixedTool[];

const ERROR: Schema = {
  type: "object",
  properties: { code: { type: "string" }, message: { type: "string" }, hint: { type: "string" } },
  required: ["code", "message"],
};

/** What every tool about a job returns. `output` is the kind's own. */
const outcomeSchema = (output: object = {}): Schema => ({
  type: "object",
  properties: {
    id: { type: "string", description: "The job's id." },
    kind: { type: "string" },
    status: {
      type: "string",
      enum: ["succeeded", "failed", "expired", "canceled", "queued", "running", "refused"],
      description:
        "refused: nothing was done, and error says why. queued and running: call job_result with the id.",
    },
    output: { ...output, description: "What the job came to, if it succeeded." },
    error: ERROR,
    progress: {
      type: "object",
      properties: { done: { type: "number", description: "0 to 1" }, what: { type: "string" } },
    },
    receipt: { type: "object", description: "Model, tokens and times." },
    note: { type: "string", description: "What to do next." },
  },
  required: ["status"],
});

const OUTPUTS: Record<FixedTool, Schema> = {
  start_job: outcomeSchema(),
  job_status: outcomeSchema(),
  job_result: outcomeSchema(),
  cancel_job: outcomeSchema(),
  list_kinds: {
    type: "object",
    properties: { kinds: { type: "array", items: { type: "object" } }, error: ERROR },
  },
};

/** Made when somebody asks: that takes a moment which the start of a worker should not. */
export const fixedTools = (): Tool[] =>
  (Object.keys(ARGUMENTS) as FixedTool[]).map((name) => ({
    name,
    title: name.replaceAll("_", " "),
    description: DESCRIPTIONS[name],
    inputSchema: schemaOf(ARGUMENTS[name], "input") as Schema,
    outputSchema: OUTPUTS[name],
    annotations: {
      readOnlyHint: READ_ONLY.includes(name),
      destructiveHint: name === "cancel_job",
      idempotentHint: name !== "start_job",
      openWorldHint: false,
    },
  }));

/** By the tool's name. A handler that is broken has none. */
export function kindTools(registry: Registry): Map<string, KindTool> {
  const tools = new Map<string, KindTool>();
  for (const handler of registry.values()) {
    if (handler.broken) continue;
    const name = freeName(handler.kind, tools);
    tools.set(name, kindTool(name, handler));
  }
  return tools;
}

/** Clients and the models behind them take letters, digits, _ and -, 64 at most. */
const LONGEST_NAME = 64;

function freeName(kind: string, taken: ReadonlyMap<string, unknown>): string {
  const name = kind.replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, LONGEST_NAME - 3) || "kind";
  for (let n = 1; ; n++) {
    const numbered = n === 1 ? name : `${name}_${n}`;
    if (!taken.has(numbered) && !isFixed(numbered)) return numbered;
  }
}

const PICTURES =
  "Where a picture or a page is wanted, give an s3:// or https:// address, a data: URI, or an image content object {type: image, data: base64, mimeType}.";

function kindTool(name: string, handler: Known): KindTool {
  const input = schemaOf(handler.input, "input");
  // A union of objects is no object to most clients.
  const whole = input.type !== "object";
  const description = [
    handler.summary,
    handler.inputs ? PICTURES : "",
    `Runs as a job on the local model and waits up to ${LONGEST_WAIT} seconds; if it takes longer, the status is queued or running and job_result gets the result.`,
  ];
  const tool: Tool = {
    name,
    title: handler.kind,
    description: description.filter(Boolean).join(" "),
    inputSchema: whole ? hoisted("input", input) : (input as Schema),
    outputSchema: resultSchema(schemaOf(handler.output, "output")),
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: true },
  };
  return { tool, handler, whole };
}

/** What zod cannot say in JSON Schema, such as a check in code, is left out. */
export function schemaOf(type: z.ZodType, io: "input" | "output"): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(type, {
    io,
    unrepresentable: "any",
    override: withoutHardPatterns,
  });
  return schema;
}

/** Characters. */
const LONGEST_PATTERN = 80;

/** Some clients read no classes of Unicode, and a long pattern tells a model nothing. The worker checks all the same. */
function withoutHardPatterns({ jsonSchema }: { jsonSchema: { pattern?: string } }): void {
  const { pattern = "" } = jsonSchema;
  if (pattern.length > LONGEST_PATTERN || pattern.includes("\\p{")) delete jsonSchema.pattern;
}

/** A schema as a field of an object. What it refers to is at the top of the document, so it goes there. */
function hoisted(field: string, { $defs, ...schema }: Record<string, unknown>): Schema {
  return {
    type: "object",
    properties: { [field]: schema },
    required: [field],
    ...($defs !== undefined && { $defs }),
  };
}

/** A schema that refers to itself as a whole would refer to the result instead, so it is left out. */
function resultSchema({ $defs, ...schema }: Record<string, unknown>): Schema {
  if (JSON.stringify(schema).includes('"$ref":"#"')) return outcomeSchema();
  return { ...outcomeSchema(schema), ...($defs !== undefined && { $defs }) };
}
