// The fields of a request that are about tools, in the forms of both chat APIs: which functions there are, and which of them the
// answer may or must call. What a call looks like to the model is left to generation/tool-calls.ts.
import { z } from "zod";
import { invalid, type Schema, type Tool, type ToolUse } from "../generation/backend.ts";

const MAX_TOOLS = 128;
const INSTEAD = "only functions can be called";

// A name stands in prompts and in answers as it is, so it can hold no part of a special token. Letters of every script can be in it.
const name = z
  .string({ error: "must be a text" })
  .regex(/^[\p{L}\p{M}\p{N}_.:/-]{1,128}$/u, "must be 1 to 128 letters, digits, _, -, ., : or /");
const parameters = z
  .custom<Schema>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
    error: "must be an object",
  })
  .nullish();
const definition = { name, description: z.string().nullish(), parameters, strict: z.boolean().nullish() };

const ofType = <T extends string>(type: T) =>
  z.literal(type, { error: ({ input }) => `${JSON.stringify(input)} is not supported; ${INSTEAD}` });
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Anthropic's and MCP's names for it. */
const withParameters = ({ input_schema, inputSchema, ...fields }: Record<string, unknown>) => {
  return { parameters: input_schema ?? inputSchema, ...fields };
};

/** Clients mix the forms of the two APIs: with the function's fields inside of `function`, and beside its type. */
const wrapped = (value: unknown) => {
  if (!isObject(value) || isObject(value.function) || typeof value.name !== "string") return value;
  const { type = "function", ...fields } = value;
  return { type, function: withParameters(fields) };
};
const flattened = (value: unknown) => {
  if (!isObject(value) || !isObject(value.function)) return value;
  const { type = "function", function: fields } = value;
  return { type, ...fields };
};
const ChatTool = z.preprocess(
  wrapped,
  z.looseObject({ type: ofType("function").default("function"), function: z.looseObject(definition) }),
);
const FlatTool = z.preprocess(
  flattened,
  z.looseObject({ type: ofType("function").default("function"), ...definition }),
);

const CHOICE = "must be none, auto, required, allowed_tools, or an object that names a function";
const words = z.enum(["none", "auto", "required", "any"]);
const mode = z.enum(["auto", "required"]);
const named = z.preprocess(flattened, z.looseObject({ type: ofType("function"), name: z.string() }));
const allowed = { mode, tools: z.array(named) };

/** Words as an object, as Anthropic's clients and AutoGen write them, and functions without a type or with its other name. */
const choice = (value: unknown) => {
  const flat = flattened(value);
  if (!isObject(flat)) return flat;
  const { type = "function", name, allowed_tools } = flat;
  if (type === "allowed_tools" && isObject(allowed_tools)) return { type, ...allowed_tools };
  if (type === "tool" || type === "function") return { type: "function", name };
  return name === undefined && words.safeParse(type).success ? type : flat;
};
const ToolChoice = z.preprocess(
  choice,
  z.union(
    [
      words,
      z.looseObject({ type: z.literal("function"), name: z.string() }),
      z.looseObject({ type: z.literal("allowed_tools"), ...allowed }),
    ],
    { error: CHOICE },
  ),
);

const list = <T extends z.ZodType>(one: T) =>
  z.array(one).max(MAX_TOOLS, `may have at most ${MAX_TOOLS} tools`).nullish();
const OLD = "the older form of tools is not supported; send tools and tool_choice";

/** Of /v1/chat/completions. */
export const chatToolFields = {
  tools: list(ChatTool),
  tool_choice: ToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  functions: z.tuple([], { error: OLD }).nullish(),
  function_call: z.enum(["none", "auto"], { error: OLD }).nullish(),
};
type ChatToolFields = z.output<z.ZodObject<typeof chatToolFields>>;

/** Of /v1/responses. */
export const flatToolFields = {
  tools: list(FlatTool),
  tool_choice: ToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
};
type FlatToolFields = z.output<z.ZodObject<typeof flatToolFields>>;

/** Undefined where no tool can be called. */
export function chatTools({ tools, tool_choice, parallel_tool_calls }: ChatToolFields): ToolUse | undefined {
  const all = (tools ?? []).map((tool, at) => toolOf(tool.function, `tools.${at}.function`));
  return toolUse(all, choiceOf(tool_choice), parallel_tool_calls ?? true);
}

export function flatTools({ tools, tool_choice, parallel_tool_calls }: FlatToolFields): ToolUse | undefined {
  const all = (tools ?? []).map((tool, at) => toolOf(tool, `tools.${at}`));
  return toolUse(all, choiceOf(tool_choice), parallel_tool_calls ?? true);
}

type Definition = z.output<z.ZodObject<typeof definition>>;

/** Without parameters a function takes none. */
function toolOf({ name, description, parameters }: Definition, at: string): Tool {
  const given = parameters ?? { properties: {} };
  const { type, properties, additionalProperties } = given;
  const param = `${at}.parameters`;
  // Arguments are an object, whatever else the schema allows.
  if (type != null && ![type].flat().includes("object"))
    throw invalid(param, `${param}: must be the schema of an object.`);
  const isEmpty = properties !== undefined && Object.keys(Object(properties)).length === 0;
  const closed = isEmpty && additionalProperties === undefined && { additionalProperties: false };
  return {
    name,
    description: description ?? undefined,
    parameters: { ...given, ...closed, type: "object" },
    at: param,
  };
}

type Choice = { kind: "none" | "auto" | "required"; names?: readonly string[] };

function choiceOf(given: ChatToolFields["tool_choice"]): Choice {
  if (given == null) return { kind: "auto" };
  if (typeof given === "string") return { kind: given === "any" ? "required" : given };
  if (given.type === "function") return { kind: "required", names: [given.name] };
  return { kind: given.mode, names: given.tools.map(({ name }) => name) };
}

function toolUse(tools: readonly Tool[], { kind, names }: Choice, isParallel: boolean): ToolUse | undefined {
  const known = new Set(tools.map(({ name }) => name));
  if (known.size < tools.length) throw invalid("tools", "tools: two functions have the same name.");
  const unknown = names?.find((name) => !known.has(name));
  if (unknown !== undefined)
    throw invalid("tool_choice", `tool_choice: there is no function ${JSON.stringify(unknown)} in tools.`);
  if (tools.length === 0 && kind === "required")
    throw invalid("tool_choice", "tool_choice: requires a call, but there are no tools.");
  const callable = names === undefined ? tools : tools.filter(({ name }) => names.includes(name));
  if (callable.length === 0 || kind === "none") return undefined;
  return { tools, callable, isForced: kind === "required", isParallel };
}
