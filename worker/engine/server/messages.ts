// The messages of a chat request, as different clients write them, and as the model's template gets them. It is tolerant in the form
// of what can only mean one thing, and names what it cannot take. Pictures are decoded later, once the request has its place in the
// queue; the other fields of a request are left to requests.ts and responses.ts.
import { z } from "zod";
import { decodeDataUri, isDataUri } from "../../data-uri.ts";
import { KamadoError } from "../../errors.ts";
import { IMAGE_LIMITS, safeImage } from "../../images/safe-image.ts";
import { invalid, type Message, type Part, type ToolCall } from "../generation/backend.ts";

const MAX_IMAGES = 16;
const MAX_MESSAGES = 1_000;
const MAX_PARTS = 1_000;

const ROLES = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
  // The older form of tool messages.
  function: "tool",
} as const;
type Role = keyof typeof ROLES;

/** JSON. Some clients write the value itself. */
export const callArguments = z
  .union([z.string(), z.record(z.string(), z.unknown())], { error: "must be JSON, or an object" })
  .nullish();

const Call = z.looseObject({
  id: z.string().nullish(),
  // Go writes "" for what is not set.
  type: z.literal(["function", ""], { error: "only functions can be called" }).nullish(),
  function: z.looseObject({
    name: z.string(),
    arguments: callArguments,
  }),
});
type Call = z.output<typeof Call>;

const parts = z
  .array(z.union([z.string(), z.null(), z.looseObject({})], { error: "must be a text or an object" }))
  .max(MAX_PARTS, `may have at most ${MAX_PARTS} parts`);
const isPart = (one: unknown) =>
  typeof one === "string" ||
  one === null ||
  typeof Object(one).type === "string" ||
  typeof Object(one).text === "string";
/** What a tool gave back, as a text or parts. Some clients send the value itself, which is its JSON to the model. */
export const toolContent = z.preprocess((value) => {
  const isContent = Array.isArray(value) ? value.every(isPart) : value === undefined || isPart(value);
  return isContent ? value : JSON.stringify(value);
}, z.union([z.string(), parts, z.looseObject({}).transform((one) => [one])]).nullish());
/** Mistral, DeepSeek and Qwen know a wish to go on with the last message. */
const NOT_CONTINUED = {
  error: "is not supported: an answer is a message of its own; ask for it in a message",
};
const isTool = (role: unknown) => typeof role === "string" && /^(tool|function)$/i.test(role);
const withToolContent = (value: unknown) => {
  const { role, content } = Object(value) as Record<string, unknown>;
  return isTool(role) ? { ...Object(value), content: toolContent.safeParse(content).data ?? content } : value;
};
const ChatMessage = z.looseObject({
  role: z.string({ error: "must be a text" }),
  content: z
    .union([z.string(), parts, z.looseObject({}).transform((one) => [one])], {
      error: `must be a text or a list of at most ${MAX_PARTS} parts`,
    })
    .nullish(),
  name: z.string().nullish(),
  tool_calls: z.array(Call).max(MAX_PARTS).nullish(),
  function_call: Call.shape.function.nullish(),
  tool_call_id: z.string().nullish(),
  /** Ollama's names for the tool of a result, and for pictures, which stand beside the text. */
  tool_name: z.string().nullish(),
  images: z.array(z.string(), { error: "must be a list of pictures in base64" }).max(MAX_PARTS).nullish(),
  audio: z.null({ error: "is not supported" }).optional(),
  prefix: z.literal(false, NOT_CONTINUED).nullish(),
  partial: z.literal(false, NOT_CONTINUED).nullish(),
});
export type ChatMessage = z.output<typeof ChatMessage>;
export const chatMessages = z.array(z.preprocess(withToolContent, ChatMessage)).min(1).max(MAX_MESSAGES);

/** A picture as it came in. */
type GivenImage = { type: "given"; url: string; param: string };
type GivenPart = Exclude<Part, { type: "image" }> | GivenImage;
/** A message whose pictures are still to be decoded. */
export type GivenMessage = Omit<Message, "parts"> & { parts: GivenPart[] };

/** `field` is what the request calls the list. */
export function messagesOf(messages: readonly ChatMessage[], field = "messages"): GivenMessage[] {
  let images = 0;
  const names = new Map<string, string>();
  const given = messages.map((message, index) => {
    const role = roleOf(message.role, `${field}.${index}.role`);
    const { name, tool_name, tool_call_id: id } = message;
    const parts = givenParts(message, `${field}.${index}`).flatMap(([part, param]): GivenPart[] => {
      if (role === "assistant" && isThought(part)) return [];
      const read = partOf(part, param);
      if (read.type === "text") return [read];
      if (role !== "user" && role !== "tool")
        throw invalid(read.param, `${read.param}: only messages of users and tools may hold pictures.`);
      if (++images > MAX_IMAGES)
        throw invalid(read.param, `${read.param}: more than ${MAX_IMAGES} pictures.`);
      return [read];
    });
    const toolCalls = callsOf(message, index);
    for (const call of toolCalls) names.set(call.id, call.name);
    const named = name ?? tool_name ?? (id != null ? names.get(id) : undefined);
    return {
      role,
      parts,
      ...(named !== undefined && { name: named }),
      ...(toolCalls.length > 0 && { toolCalls }),
      ...(id != null && { toolCallId: id }),
    };
  });
  return withPicturesOfTools(given);
}

/** Templates have a place for pictures in messages of the user alone, so those of tools are in the one that follows their results. */
function withPicturesOfTools(messages: readonly GivenMessage[]): GivenMessage[] {
  const all: GivenMessage[] = [];
  let pictures: GivenPart[] = [];
  const passOn = () => {
    if (pictures.length > 0) all.push({ role: "user", parts: pictures });
    pictures = [];
  };
  for (const message of messages) {
    const { role, parts } = message;
    if (role === "tool") {
      pictures.push(...parts.filter(({ type }) => type === "given"));
      all.push({ ...message, parts: parts.filter(({ type }) => type === "text") });
    } else if (role === "user") {
      all.push({ ...message, parts: [...pictures, ...parts] });
      pictures = [];
    } else {
      passOn();
      all.push(message);
    }
  }
  passOn();
  return all;
}

type AnyPart = string | Record<string, unknown>;

/** Everything that a message holds, each with the place where it stands. */
function givenParts({ content, images }: ChatMessage, at: string): [AnyPart, string][] {
  const list = typeof content === "string" ? [content] : (content ?? []);
  const pictures = (images ?? []).map((image, nth): [AnyPart, string] => [
    { type: "image", image },
    `${at}.images.${nth}`,
  ]);
  const parts = list.map((part, nth): [AnyPart | null, string] => [part, `${at}.content.${nth}`]);
  return [...pictures, ...parts.filter((one): one is [AnyPart, string] => one[0] !== null)];
}

/** A thought belongs to the answer that it led to; clients that keep whole answers send it back. */
const isThought = (part: AnyPart) =>
  typeof part !== "string" && /^(redacted_)?thinking$|^reasoning(_text)?$/.test(String(part.type));

function roleOf(given: string, param: string): Message["role"] {
  const role = given.toLowerCase();
  if (Object.hasOwn(ROLES, role)) return ROLES[role as Role];
  const known = Object.keys(ROLES).join(", ");
  throw invalid(param, `${param}: ${JSON.stringify(given.slice(0, 50))} is no role; the roles are ${known}.`);
}

/** Without an id a call has its place as one, so that the same conversation is always rendered the same. */
function callsOf({ tool_calls, function_call }: ChatMessage, index: number): ToolCall[] {
  const old: Call[] = function_call ? [{ function: function_call }] : [];
  return [...(tool_calls ?? []), ...old].map(({ id: givenId, function: { name, arguments: given } }, at) => {
    const id = givenId ?? `call_${index}_${at}`;
    const json = typeof given === "string" ? given : JSON.stringify(given ?? {});
    return { id, name, arguments: json.trim() === "" ? "{}" : json };
  });
}

/** Part types whose content is a text, and the field that holds it. */
const TEXTS: Record<string, string> = {
  text: "text",
  input_text: "text",
  output_text: "text",
  refusal: "refusal",
};
const IMAGES = ["image_url", "input_image", "image"];

function partOf(part: AnyPart, param: string): GivenPart {
  if (typeof part === "string") return { type: "text", text: part };
  const fields = part;
  const type = typeof fields.type === "string" ? fields.type : undefined;
  const isText = type === undefined ? typeof fields.text === "string" : Object.hasOwn(TEXTS, type);
  if (isText) {
    const key = TEXTS[type ?? "text"]!;
    const text = fields[key];
    if (typeof text === "string") return { type: "text", text };
    if (text === null) return { type: "text", text: "" };
    throw invalid(`${param}.${key}`, `${param}.${key}: must be a text.`);
  }
  if (type !== undefined && IMAGES.includes(type)) return imagePart(fields, type, param);
  const what = type === undefined ? "a part without a type" : JSON.stringify(type.slice(0, 50));
  throw invalid(param, `${param}: ${what} cannot be read; parts are texts (text) and pictures (image_url).`);
}

function imagePart(fields: Record<string, unknown>, type: string, param: string): GivenImage {
  const key = ["image_url", "image", "source", "data"].find((key) => fields[key] != null);
  const at = `${param}.${key ?? (type === "image" ? "image" : "image_url")}`;
  if (key === undefined && fields.file_id != null)
    throw invalid(
      `${param}.file_id`,
      `${param}.file_id: this engine keeps no files; send the picture itself.`,
    );
  const url = urlIn(key === undefined ? undefined : fields[key]);
  if (url === undefined) throw invalid(at, `${at}: must be a data: URI, or an object with one as its url.`);
  // Some clients send the bytes alone, beside their type.
  const isBare = key !== "image_url" && /^[A-Za-z0-9+/_\s-]+={0,2}\s*$/.test(url.slice(0, 1_000));
  return { type: "given", url: checkedUri(isBare ? `data:;base64,${url}` : url, at), param: at };
}

/** In a text, in `url`, or in `data` where only the bytes are given. */
function urlIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const { url, data } = Object(value) as Record<string, unknown>;
  return [url, data].find((one) => typeof one === "string") as string | undefined;
}

/** Only data: URIs. This process opens no file and no address that a request names. */
function checkedUri(url: string, param: string): string {
  if (isDataUri(url)) return url;
  throw invalid(
    param,
    `${param}: must be a data: URI, such as data:image/png;base64,…; addresses and paths are not opened.`,
  );
}

/** Pictures are decoded one after another, because decoding needs much memory. */
export async function decoded(messages: readonly GivenMessage[], signal: AbortSignal): Promise<Message[]> {
  const converted: Message[] = [];
  for (const { parts: given, ...rest } of messages) {
    const parts: Part[] = [];
    for (const part of given) parts.push(part.type === "given" ? await imageOf(part, signal) : part);
    converted.push({ ...rest, parts });
  }
  return converted;
}

async function imageOf(given: GivenImage, signal: AbortSignal): Promise<Part> {
  const { url, param } = given;
  // The request lives until it is answered. It needs the picture only once.
  given.url = "";
  try {
    const bytes = decodeDataUri(url, IMAGE_LIMITS.maxBytes);
    return { type: "image", image: await safeImage(bytes, {}, signal) };
  } catch (thrown) {
    if (signal.reason instanceof KamadoError) throw signal.reason;
    // The HTTP server's own reason is not an Error.
    if (signal.aborted) throw new KamadoError("canceled", "The client went away.");
    if (!(thrown instanceof KamadoError)) throw thrown;
    const code = thrown.code === "input_too_large" ? "image_too_large" : thrown.code;
    throw new KamadoError(code, `${param}: ${thrown.message}`, { cause: thrown, detail: { param } });
  }
}
