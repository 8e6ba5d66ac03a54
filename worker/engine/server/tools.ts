// The fields of a request that are about tools, in the forms of both chat APIs: which functions there are, and which of them the
// answer may or must call. What a call looks like to the model is left to generation/tool-calls.ts.
import { z } from "zod";
import { invalid, type Schema, type Tool, type ToolUse } from "../generation/backend.ts";

const MAX_TOOLS = 128;
const INSTEAD = "only functions can be called";

// A name stands in prompts and in answers as it is, so it can hold no part of a special token.
const name = z
  .string({ error: "must be a text" })
  .regex(/^[\w.:/-]{1,128}$/, "must be 1 to 128 letters, digits, _, -, ., : or /");
const parameters = z
  .custom<Schema>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
    error: "must be an object",
  })
  .nullish();
const definition = { name, description: z.string().nullish(), parameters, strict: z.boolean().nullish() };

const ofType = <T extends string>(type: T) =>
  z.literal(type, { error: ({ input }) => `${JSON.stringify(input)} is not supported; ${INSTEAD}` });
/** A tool in another API's form is one of the commonest mistakes, and "function: expected object" would not say which. */
const inForm = (isIt: (tool: object) => boolean, form: string) =>
  z.unknown().superRefine((tool, context) => {
    if (typeof tool !== "object" || tool === null || isIt(tool)) return;
    const whose = "input_schema" in tool ? "Anthropic's" : "another API's";
    context.addIssue({ code: "custom", message: `is a tool in ${whose} form; here it is ${form}` });
  });
const isOther = (tool: object) => "type" in tool && tool.type !== "function" && !("input_schema" in tool);
const ChatTool = inForm(
  (tool) => isOther(tool) || "function" in tool,
  '{"type": "function", "function": {"name": …, "description": …, "parameters": …}}',
).pipe(z.looseObject({ type: ofType("function"), function: z.looseObject(definition) }));
const FlatTool = inForm(
  (tool) => isOther(tool) || ("name" in tool && !("input_schema" in tool)),
  '{"type": "function", "name": …, "description": …, "parameters": …}',
).pipe(z.looseObject({ type: ofType("function"), ...definition }));

const words = z.enum(["none", "auto", "required", "any"], {
  error: "must be none, auto, required, or an object that names a function",
});
const mode = z.enum(["auto", "required"]);
const ChatChoice = z.union(
  [
    words,
    z.looseObject({ type: z.literal("function"), function: z.looseObject({ name: z.string() }) }),
    z.looseObject({
      type: z.literal("allowed_tools"),
      allowed_tools: z.looseObject({
        mode,
        tools: z.array(
          z.looseObject({ type: ofType("function"), function: z.looseObject({ name: z.string() }) }),
        ),
      }),
    }),
  ],
  { error: "must be none, auto, required, allowed_tools, or an object that names a function" },
);
const FlatChoice = z.union(
  [
    words,
    z.looseObject({ type: z.literal("function"), name: z.string() }),
    z.looseObject({
      type: z.literal("allowed_tools"),
      mode,
      tools: z.array(z.looseObject({ type: ofType("function"), name: z.string() })),
    }),
  ],
  { error: "must be none, auto, required, allowed_tools, or an object that names a function" },
);

const list = <T extends z.ZodType>(one: T) =>
  z.array(one).max(MAX_TOOLS, `may have at most ${MAX_TOOLS} tools`).nullish();
const OLD = "the older form of tools is not supported; send tools and tool_choice";

/** Of /v1/chat/completions. */
export const chatToolFields = {
  tools: list(ChatTool),
  tool_choice: ChatChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  functions: z.tuple([], { error: OLD }).nullish(),
  function_call: z.enum(["none", "auto"], { error: OLD }).nullish(),
};
type ChatToolFields = z.output<z.ZodObject<typeof chatToolFields>>;

/** Of /v1/responses. */
export const flatToolFields = {
  tools: list(FlatTool),
  tool_choice: FlatChoice.nullish(),
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
  const { type = "object", properties, additionalProperties } = given;
  const param = `${at}.parameters`;
  if (type !== "object") throw invalid(param, `${param}: must be the schema of an object.`);
  const isEmpty = properties !== undefined && Object.keys(Object(properties)).length === 0;
  const closed = isEmpty && additionalProperties === undefined && { additionalProperties: false };
  return {
    name,
    description: description ?? undefined,
    parameters: { type: "object", ...given, ...closed },
    at: param,
  };
}

type Choice = { kind: "none" | "auto" | "required"; names?: readonly string[] };

function choiceOf(given: ChatToolFields["tool_choice"] | FlatToolFields["tool_choice"]): Choice {
  if (given == null) return { kind: "auto" };
  if (typeof given === "string") return { kind: given === "any" ? "required" : given };
  if (given.type === "function") return { kind: "required", names: [nameIn(given)] };
  const { mode, tools } = "allowed_tools" in given ? (given.allowed_tools as Allowed) : (given as Allowed);
  return { kind: mode, names: tools.map(nameIn) };
}

type Named = { name: string } | { function: { name: string } };
type Allowed = { mode: "auto" | "required"; tools: Named[] };
const nameIn = (one: Named | object) =>
  "function" in one ? (one.function as { name: string }).name : (one as { name: string }).name;

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
