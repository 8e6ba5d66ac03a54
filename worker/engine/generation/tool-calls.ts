// How a model's chat template writes calls to tools: found out from what it renders for a call that is known. Also the form that
// is used where a template has no place for tools, and messages about tools as plain text for such a template. Pure, apart from
// the rendering, which is the backend's.
import { createHash } from "node:crypto";
import type { CallFormat, CallStart, Message, Segment, Tool, ToolCall } from "./backend.ts";
import { looksSpecial } from "./special-tokens.ts";

const tool = (name: string): Tool => {
  const parameters = { type: "object", properties: { argument: { type: "string" } } };
  return { name, description: "A tool.", parameters, at: "" };
};
// Some templates accept only ids of nine letters and digits.
const ID = "kamado00i";
const TOOLS = [tool("kamado_first"), tool("kamado_second")];
const TEXT = "kamado_text";
const ARGUMENTS = /\{\s*"kamado_key"\s*:\s*"kamado_value"\s*\}/;

const message = (role: Message["role"], content: string, rest: Partial<Message> = {}): Message => {
  return { role, parts: [text(content)], ...rest };
};
const call = (name: string): ToolCall => ({ id: ID, name, arguments: '{"kamado_key": "kamado_value"}' });
const conversation = (...calls: ToolCall[]): Message[] => [
  message("user", "a"),
  message("assistant", "", { toolCalls: calls }),
  ...calls.map(({ name, id }) => message("tool", "kamado_result", { name, toolCallId: id })),
  message("assistant", TEXT),
  message("user", "b"),
];

/** A conversation as the template renders it, with these tools. Rejects where the template refuses it. */
export type Render = (messages: Message[], tools: readonly Tool[]) => string | Promise<string>;

/** Undefined where the template has no place for tools, or writes their arguments in another form than JSON. */
export async function callFormat(render: Render): Promise<CallFormat | undefined> {
  const rendered = async (messages: Message[]) => {
    try {
      return await render(messages, TOOLS);
    } catch {
      return undefined;
    }
  };
  const plain = await rendered([message("user", "a"), message("assistant", TEXT), message("user", "b")]);
  const one = await rendered(conversation(call("kamado_one")));
  if (plain === undefined || one === undefined) return undefined;
  const isDescribed = TOOLS.every(({ name }) => plain.includes(name));
  if (!isDescribed || !one.includes("kamado_result")) return undefined;
  const two = await rendered(conversation(call("kamado_one"), call("kamado_two")));
  return formatOf(plain.slice(0, plain.indexOf(TEXT)).trimEnd(), one, two);
}

/** `before` is what stands before an assistant's text. */
function formatOf(before: string, one: string, two: string | undefined): CallFormat | undefined {
  const first = partsOf(one, before.length, "kamado_one");
  if (!one.startsWith(before) || first === undefined) return undefined;
  const open = first.open.trimStart();
  const mark = markOf(open);
  if (mark === undefined) return undefined;
  const second = two === undefined ? undefined : partsOf(two, first.end, "kamado_two");
  const close = closeOf(one.slice(first.end), second?.open);
  const next = second?.open.slice(close.length);
  const isApart = next !== undefined && bare(next) !== "" && second?.middle === first.middle;
  return { open, middle: first.middle, close, next: isApart ? next : undefined, ...mark };
}

function partsOf(rendered: string, from: number, name: string) {
  const at = rendered.indexOf(name, from);
  const rest = rendered.slice(at + name.length);
  const found = ARGUMENTS.exec(rest);
  if (at === -1 || found === null) return undefined;
  const end = at + name.length + found.index + found[0].length;
  return { open: rendered.slice(from, at), middle: rest.slice(0, found.index), end };
}

/** What ends a call: it stands before a second call as well. Without one, what stands on the rest of its line. */
function closeOf(after: string, beforeSecond: string | undefined): string {
  if (beforeSecond === undefined) return /^[}\]"\s]*/.exec(after)![0].trimEnd();
  let length = 0;
  while (length < beforeSecond.length && after[length] === beforeSecond[length]) length++;
  // Two marks may begin alike: `<|` is no end of the first call.
  return after.slice(0, length).replace(/\s*[<[][^>\]]*$/, "");
}

const bare = (text: string) => text.replaceAll(/\s/g, "");

/** A mark at the beginning, such as `<tool_call>`; else the beginning of a JSON object, which is a call only if it comes first. */
function markOf(open: string): Pick<CallFormat, "mark" | "isFirst"> | undefined {
  const [mark = ""] = /^(<[^\s<>]+>|\[[^\s[\]]+\])/.exec(open) ?? [];
  if (looksSpecial(mark)) return { mark, isFirst: false };
  const [object] = /^\{\s*"[a-z_]+"/.exec(open) ?? [];
  if (object !== undefined) return { mark: bare(object), isFirst: true };
  return open.trim().length > 2 ? { mark: open.trim(), isFirst: false } : undefined;
}

/** For a template without tools: the model is told the form in the system message, and the grammar keeps it. */
export const PLAIN_CALL: CallFormat = {
  open: '{"name": "',
  middle: '", "arguments": ',
  close: "}",
  next: undefined,
  mark: '{"name"',
  isFirst: true,
};

/** How the answer begins when it calls a tool, and the ways in which it may go on. Where there is one tool, it is named already. */
export function beginningOf(
  { middle }: CallFormat,
  opening: string,
  callable: readonly Tool[],
): { begun: Segment; calls: CallStart[] } {
  const [only, ...others] = callable;
  const isOne = only !== undefined && others.length === 0;
  const text = isOne ? opening + only.name + middle : opening;
  const calls = callable.map((tool) => ({ before: isOne ? "" : tool.name + middle, tool }));
  return { begun: { text, fromOutside: false }, calls };
}

/** The end of a call with this id. */
export const endOfCall = ({ close }: CallFormat, id: string): string => close.replaceAll(ID, shortId(id));

/** The id as templates get it: nine letters and digits, always the same for the same id. */
export const shortId = (id: string): string =>
  /^[A-Za-z0-9]{9}$/.test(id) ? id : createHash("sha256").update(id).digest("hex").slice(0, 9);

/** A tool as templates describe it. */
export const toolObject = ({ name, description, parameters }: Tool): object => {
  return { type: "function", function: { name, ...(description && { description }), parameters } };
};

/** The same, made harmless by `plain` as one text: the marks of special spellings stand inside of its strings. */
export const toolObjects = (tools: readonly Tool[], plain: (text: string) => string): object[] =>
  JSON.parse(plain(JSON.stringify(tools.map(toolObject))));

/** A message as templates get it, but for its content. `plain` makes a text from outside harmless. */
export function messageFields(
  { role, name, toolCalls, toolCallId }: Message,
  plain: (text: string) => string,
  argumentsOf: (json: string) => unknown = plain,
) {
  const calls = toolCalls?.map(({ id, name, arguments: json }) => {
    return { id: shortId(id), type: "function", function: { name, arguments: argumentsOf(json) } };
  });
  return {
    role,
    ...(name !== undefined && { name: plain(name) }),
    ...(calls && { tool_calls: calls }),
    ...(toolCallId !== undefined && { tool_call_id: shortId(toolCallId) }),
  };
}

/** The tools and the form of a call, as a part of the system message. */
export function withDescription(messages: readonly Message[], tools: readonly Tool[]): Message[] {
  const description = `Answer by calling one of these functions. A call is a JSON object: {"name": "the function's name", "arguments": {…}}.\n\nFunctions:\n${tools.map((tool) => JSON.stringify(toolObject(tool))).join("\n")}`;
  const [first, ...rest] = messages;
  if (first?.role !== "system") return [message("system", description), ...messages];
  return [{ ...first, parts: [...first.parts, text(`\n${description}`)] }, ...rest];
}

/** Calls and their results as text, for a template that has no place for them. */
export function asText(messages: readonly Message[]): Message[] {
  const all: Message[] = [];
  for (const [index, message] of messages.entries()) {
    const { role, parts, name, toolCalls = [] } = message;
    const last = all.at(-1);
    // Most templates want the roles to take turns, so results and what the user says next are one message.
    const goesOn = last?.role === "user" && (role === "tool" || messages[index - 1]?.role === "tool");
    const result = role === "tool" ? [text(`Result of ${name ?? "the function"}:`)] : [];
    const calls = toolCalls.map((call) =>
      text(`${JSON.stringify({ name: call.name }).slice(0, -1)}, "arguments": ${call.arguments}}`),
    );
    const content = [...result, ...parts, ...calls];
    if (goesOn && (role === "tool" || role === "user"))
      all[all.length - 1] = { ...last, parts: [...last.parts, ...content] };
    else all.push({ role: role === "tool" ? "user" : role, name, parts: content });
  }
  return all;
}

const text = (text: string) => ({ type: "text" as const, text });
