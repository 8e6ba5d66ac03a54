// The destinations that the owner lists in the file KAMADO_DESTINATIONS_FILE names: its schema, how it is read, and which entry an
// address belongs to. A result may also go to an address that is not listed, but only over https, unsigned, and not into the
// home network.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { FileSecret, MadeSecret, type Secret, secret } from "../config/secret.ts";
import { describeIssues, KamadoError } from "../errors.ts";
import { jsonText, parseJson } from "../job/json.ts";
import { sayNearestField } from "../nearest.ts";
import { TodoAdapter, TodoServiceName, todoAdapters } from "./todo-services.ts";

export type KnownDestination = Readonly<{
  match: string;
  /** Deliveries are signed with all of them: the current secret first, then those that are being replaced. */
  secrets: readonly Secret[];
  headers: Readonly<Record<string, Secret>>;
  allowPrivate: boolean;
  maxPerSecond: number | undefined;
  maxConcurrent: number | undefined;
  /** Pages there are read whatever its robots.txt says. [false] */
  ignoreRobots?: boolean | undefined;
  /** A todo service that has an API of its own. `list` is for jobs whose address names none. */
  todos?: Readonly<{ adapter: TodoAdapter; list: string | undefined }> | undefined;
}>;
export type Destinations = readonly KnownDestination[];

/** All of one host, without anything that the owner's file may say of it. */
export const entryFor = (
  origin: string,
  { allowPrivate }: Pick<KnownDestination, "allowPrivate">,
): KnownDestination => ({
  match: `${origin}/`,
  secrets: [],
  headers: {},
  allowPrivate,
  maxPerSecond: undefined,
  maxConcurrent: undefined,
});

// The Standard Webhooks form: 24 to 64 random bytes in base64.
const SigningSecret = z.string().refine((text) => {
  const bytes = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1];
  const length = bytes === undefined ? 0 : Buffer.from(bytes, "base64").length;
  return length >= 24 && length <= 64;
}, "expected whsec_ and 24 to 64 bytes in base64");

const InFile = z.strictObject({
  file: z.string().min(1).describe("A path, relative to the folder of this file."),
});

const Match = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.search === "" &&
    url.hash === ""
  );
}, "expected https://host/path without credentials and query");

// The HTTP client sets these headers; a value from the file would break the connection or lead it elsewhere.
const OWNED =
  /^(host|connection|content-length|transfer-encoding|keep-alive|upgrade|expect|te|trailer|accept-encoding)$/i;
const HeaderName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "expected a header's name")
  .refine((name) => !OWNED.test(name), "this header is set by the HTTP client");
const HeaderValue = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, "expected one line");

const Todos = z
  .strictObject({
    service: TodoServiceName.optional().describe("A service that Kamado knows, by its name."),
    adapter: TodoAdapter.optional().describe("Another service, described in the same way."),
    list: z.string().min(1).max(500).optional().describe("The list, where a job's address names none."),
    token: z
      .union([HeaderValue.min(1), InFile])
      .optional()
      .describe("What the service asks for: its token, or user:password."),
  })
  .refine(({ service, adapter }) => (service === undefined) !== (adapter === undefined), {
    message: "give either service or adapter",
    path: ["service"],
  });

const Entry = z
  .strictObject({
    match: Match.describe("An address; everything at or below it belongs to this entry."),
    secret: SigningSecret.optional().describe("Callbacks are signed with it."),
    secretFile: z.string().min(1).optional().describe("A file that holds the secret."),
    previousSecrets: z
      .array(z.union([SigningSecret, InFile]))
      .max(5)
      .default([])
      .describe("Callbacks are signed with these too, while a secret is being replaced."),
    headers: z
      .record(HeaderName, z.union([HeaderValue, InFile]))
      .default({})
      .describe("Sent with every request."),
    allowPrivate: z.boolean().default(false).describe("The address may be in the home network."),
    maxPerSecond: z
      .number()
      .positive()
      .max(10_000)
      .optional()
      .describe("Deliveries per second; unlimited by default."),
    maxConcurrent: z
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .describe("Deliveries at the same time; 8 by default."),
    ignoreRobots: z
      .boolean()
      .default(false)
      .describe("Pages at the address are read whatever its robots.txt says."),
    todos: Todos.optional().describe("The address is a todo service with an API of its own."),
  })
  .refine(({ secret, secretFile }) => secret === undefined || secretFile === undefined, {
    message: "give either secret or secretFile",
    path: ["secretFile"],
  })
  .superRefine(({ todos, headers }, context) => {
    const problem = todos && problemOf(todos, Object.keys(headers));
    if (problem)
      context.addIssue({ code: "custom", path: ["todos", problem.field], message: problem.message });
  });
export type FileEntry = z.output<typeof Entry>;

const adapterOf = ({ service, adapter }: z.output<typeof Todos>) => adapter ?? todoAdapters()[service ?? ""];

function problemOf(todos: z.output<typeof Todos>, headers: readonly string[]) {
  const adapter = adapterOf(todos);
  // The fields themselves say what is wrong.
  if (!adapter) return null;
  const { auth, list } = adapter;
  if (todos.list !== undefined && list === "none")
    return { field: "list", message: "the address of this service is the list itself" };
  const hasHeader = headers.some((name) => name.toLowerCase() === auth?.header.toLowerCase());
  if (todos.token !== undefined && (hasHeader || !auth))
    return {
      field: "token",
      message: auth ? `give either token or the header ${auth.header}` : "the adapter has no auth",
    };
  if (todos.token === undefined && auth && !auth.optional && !hasHeader)
    return { field: "token", message: 'the service asks for one; give "token": {"file": "…"}' };
  return null;
}

const DestinationsFile = z
  .array(Entry, "must be a list of destinations: [{ … }]")
  .refine(
    (entries) =>
      new Set(entries.map(({ match }) => (URL.canParse(match) ? new URL(match).href : match))).size ===
      entries.length,
    "two entries have the same match",
  );

/** Reads the file; without a file there are no destinations. Throws `config_invalid`, which names the file and the field. */
export function loadDestinations(path: string | undefined): Destinations {
  if (path === undefined) return [];
  const fail = (problem: string) =>
    new KamadoError("config_invalid", `KAMADO_DESTINATIONS_FILE (${path}): ${problem}`, {
      hint: DESTINATIONS_HINT,
    });
  const json = parse(readBytes(path, fail), fail);
  const entries = DestinationsFile.safeParse(json, { error: sayNearestField });
  if (!entries.success) throw fail(describeIssues(entries.error, json));
  return Object.freeze(entries.data.map((entry, index) => build(entry, inFile(path, `${index}`, fail))));
}

const DESTINATIONS_HINT =
  'Correct the file. It is a JSON list; an entry is {"match": "https://example.org/hooks/", "secret": "whsec_…"}, with allowPrivate, headers and others as they are needed (README, "Destinations in your own network").';

type Fail = (problem: string) => KamadoError;
/** Reads a value that the file holds itself or names a file for. `field` is for the message. */
type Read = (value: string | { file: string }, field: string, schema?: z.ZodType<string>) => Secret;

const NotEmpty = z.string().min(1);

function inFile(path: string, entry: string, fail: Fail): Read {
  return (value, field, schema) => {
    if (typeof value === "string") return secret(value);
    const own = resolve(dirname(path), value.file);
    const text = readText(own, (problem) => fail(`${entry}.${field}: ${problem}`)).trim();
    const checked = schema?.safeParse(text);
    if (checked?.success === false)
      throw fail(`${entry}.${field}: ${checked.error.issues[0]!.message}, in ${value.file}`);
    return new FileSecret(own, text, (changed) => (schema ?? NotEmpty).safeParse(changed).success);
  };
}

function build(entry: FileEntry, read: Read): KnownDestination {
  const current = entry.secret ?? (entry.secretFile === undefined ? undefined : { file: entry.secretFile });
  const secrets = [...(current === undefined ? [] : [current]), ...entry.previousSecrets];
  const headers = Object.entries(entry.headers).map(([name, value]): [string, Secret] => [
    name.toLowerCase(),
    read(value, `headers.${name}`),
  ]);
  const todos = entry.todos && { adapter: adapterOf(entry.todos)!, list: entry.todos.list };
  const auth = todos?.adapter.auth;
  const token = entry.todos?.token;
  if (auth && token !== undefined)
    headers.push([
      auth.header.toLowerCase(),
      new MadeSecret(read(token, "todos.token"), authValue(auth.value)),
    ]);
  return Object.freeze({
    match: new URL(entry.match).href,
    secrets: secrets.map((one, index) =>
      read(one, index === 0 && current ? "secretFile" : "previousSecrets", SigningSecret),
    ),
    headers: Object.fromEntries(headers),
    allowPrivate: entry.allowPrivate,
    maxPerSecond: entry.maxPerSecond,
    maxConcurrent: entry.maxConcurrent,
    ignoreRobots: entry.ignoreRobots,
    todos,
  });
}

/** Whoever has copied the whole header from somewhere has its first word twice otherwise. */
const authValue = (form: string) => (given: string) => {
  const word = /^[A-Za-z]+ /.exec(form)?.[0] ?? "";
  const token =
    word !== "" && given.toLowerCase().startsWith(word.toLowerCase()) ? given.slice(word.length) : given;
  if (token !== given && form.includes("{base64}")) return given;
  return form
    .replaceAll("{token}", () => token)
    .replaceAll("{base64}", () => Buffer.from(token).toString("base64"));
};

const readText = (path: string, fail: Fail) => readBytes(path, fail).toString();

function readBytes(path: string, fail: Fail): Buffer {
  try {
    return readFileSync(path);
  } catch (thrown) {
    throw fail(`${path} cannot be read (${(thrown as NodeJS.ErrnoException).code}).`);
  }
}

function parse(bytes: Uint8Array, fail: Fail): unknown {
  try {
    return parseJson(jsonText(bytes));
  } catch {
    throw fail("it is not JSON.");
  }
}

/** The entry that an address belongs to: the one with the longest match. */
export function destinationFor(destinations: Destinations, url: URL | string): KnownDestination | undefined {
  return destinations
    .filter(({ match }) => isUnder(match, url))
    .toSorted((a, b) => b.match.length - a.match.length)[0];
}

/** Whether `url` has the origin of `base` and is at or below its path, even after a server unescapes the path. */
export function isUnder(base: string | URL, url: string | URL): boolean {
  if (!URL.canParse(String(base)) || !URL.canParse(String(url))) return false;
  const [{ origin, pathname: prefix }, { origin: asked, pathname: path }] = [new URL(base), new URL(url)];
  if (origin === "null" || origin !== asked || climbs(path)) return false;
  return path === prefix || `${path}/`.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`);
}

/** The URL parser resolves `..` but not `..%2f`; the server that gets it may. */
function climbs(path: string): boolean {
  const unescaped = path.replaceAll(/%(25)*2e/gi, ".").replaceAll(/%(25)*(2f|5c)/gi, "/");
  return unescaped.split("/").some((segment) => /^\.\.?(;|$)/.test(segment));
}
