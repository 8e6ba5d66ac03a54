// `kamado read URL|FILE…`: what can be read of pages, PDFs and texts, as Markdown, plain text or JSON lines. Needs no queue, no engine and no
// worker. Owns what a person may name, the order of the output and what counts as failed; reading itself is left to pages/.
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { Semaphore } from "../../async/semaphore.ts";
import { decodeDataUri, isDataUri } from "../../data-uri.ts";
import { type ErrorCode, KamadoError, toKamadoError } from "../../errors.ts";
import { readWhole } from "../../http/bounded-body.ts";
import { unpackByContent } from "../../http/content-encoding.ts";
import { isBlocked, obstacleWords, type Page } from "../../job/handler.ts";
import { EXIT, paint, prose } from "../../logging/terminal.ts";
import { isAtHome } from "../../outbound/addresses.ts";
import { type Destinations, entryFor, loadDestinations } from "../../outbound/destinations.ts";
import { createOutbound, type Outbound } from "../../outbound/outbound.ts";
import { createPages, type Documents } from "../../pages/article.ts";
import { escapeMarkdown } from "../../pages/escape-markdown.ts";
import { createPageReader, MAX_PAGE_BYTES } from "../../pages/page-reader.ts";
import { printable, printableJson } from "../../printable.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { type Flags, flagsOf, webAddress } from "../flags.ts";

const FORMATS = ["markdown", "text", "json"] as const;
type Format = (typeof FORMATS)[number];

export function readCommand(): Command {
  const command = examples(new Command("read"), [
    "read https://example.org/article",
    "read report.pdf notes.md saved.html > all.md",
    "read --format json pages/*.html | jq -r .title",
    "read - --base-url https://example.org/news/ < saved.html",
  ])
    .argument("<source...>", "addresses and files: a page, a PDF, Markdown or text; - for standard input")
    .description("read pages, PDFs and texts, and print what they say")
    .option("--base-url <url>", "where a file came from: makes its links absolute", webAddress)
    .addOption(
      new Option("--format <format>", "json is one line for each source")
        .choices(FORMATS)
        .default("markdown"),
    )
    .action(async (sources: string[], _, own: Command) => {
      const { format, baseUrl } = flagsOf(own) as Flags & { format: Format; baseUrl?: string };
      const { destinationsFile, userAgent } = configOf();
      process.exitCode = await readSources(sources, {
        ...{ format, baseUrl, userAgent, destinations: loadDestinations(destinationsFile) },
        stdin: process.stdin,
        print: (text) => void process.stdout.write(text),
        isTerminal: process.stdout.isTTY === true,
        complain: (text) => void process.stderr.write(text),
      });
    });
  return notes(
    command,
    "An address is read as its site's robots.txt allows, one request at a time for each host. It may be in your own network.\n" +
      "Exit codes: 0 everything was read, 1 something was not, 2 the command is wrong.",
  );
}

export type ReadOptions = {
  format: Format;
  baseUrl?: string | undefined;
  userAgent?: string | undefined;
  /** What the owner's file says about the hosts that are named. */
  destinations?: Destinations;
  /** [what handlers read with] */
  document?: Documents["document"];
  stdin: Readable;
  print(text: string): void;
  /** What would act on a terminal is printed as an escape. */
  isTerminal?: boolean;
  complain(text: string): void;
};

const AT_ONCE = 8;

/** Prints each source as soon as it and all before it are read. Returns the exit code. */
export async function readSources(sources: readonly string[], options: ReadOptions): Promise<number> {
  if (sources.filter((source) => source === "-").length > 1)
    throw new KamadoError("invalid_input", "Standard input (-) can be read only once.", { hint: HOW });
  await using stack = new AsyncDisposableStack();
  const read = readerOf(sources, options, stack);
  const turns = new Semaphore(AT_ONCE);
  const all = sources.map((source) =>
    turns
      .take(() => read(source))
      .then(
        (page): Read => ({ source, page, error: blockedBy(page) }),
        (thrown): Read => ({ source, error: failureOf(thrown) }),
      ),
  );
  const separator = separatorOf(options.format, sources.length);
  let isFirst = true;
  let failed = false;
  for (const reading of all) {
    const one = await reading;
    complain(one, options);
    failed ||= one.error !== undefined;
    const text = viewOf(one, options.format);
    if (text === null) continue;
    options.print(shown(separator(one.source, isFirst) + text, options));
    isFirst = false;
  }
  return failed ? EXIT.failed : EXIT.ok;
}

/** `page` without `error`: what was asked for. With it: what stands in its place. */
type Read = { source: string; page?: Page; error?: KamadoError | undefined };

function readerOf(
  sources: readonly string[],
  { userAgent, destinations = [], baseUrl: url, stdin, ...options }: ReadOptions,
  stack: AsyncDisposableStack,
): (source: string) => Promise<Page> {
  const { document } = { ...createPages(), ...options };
  const outbound = outboundFor(destinations, stack);
  const named = sources.filter(isAddress).map((source) => URL.parse(source)!.origin);
  // Servers at home need no pauses.
  const known = [
    ...destinations,
    ...named.map((origin) => entryFor(origin, { allowPrivate: isAtHome(new URL(origin)) })),
  ];
  const pages = createPageReader({ outbound, destinations: known, document, userAgent });
  return async (source) => {
    if (isAddress(source)) return pages.read(source);
    if (isDataUri(source))
      return document({ bytes: decodeDataUri(source, MAX_PAGE_BYTES), contentType: typeOfData(source), url });
    if (source === "") throw unreadable("a source is empty; perhaps a variable of the shell is", HOW);
    refuseOtherScheme(source);
    const path = pathOf(source);
    const bytes = await unpackByContent(source === "-" ? await bytesOf(stdin) : await fileAt(path), {
      maxBytes: MAX_PAGE_BYTES,
      tooLarge,
      broken: (why) => unreadable(`it ${why}`),
    });
    return document({ bytes, contentType: typeOf(path), url });
  };
}

/**
 * Whoever types an address trusts its host, wherever it is. That ends where the host leads elsewhere: each of them has a client that
 * trusts no other.
 */
function outboundFor(destinations: Destinations, stack: AsyncDisposableStack): Pick<Outbound, "send"> {
  const clients = new Map<string, Outbound>();
  return {
    send(request) {
      const { origin } = new URL(request.ledBy ?? request.url);
      const own = destinations.filter(({ match }) => new URL(match).origin === origin);
      const trusted = [
        ...own.map((entry) => ({ ...entry, allowPrivate: true })),
        entryFor(origin, { allowPrivate: true }),
      ];
      const client = clients.get(origin) ?? createOutbound({ destinations: trusted });
      if (!clients.has(origin)) stack.defer(() => client.close());
      clients.set(origin, client);
      return client.send(request);
    },
  };
}

const isAddress = (source: string) => /^https?:$/.test(URL.parse(source)?.protocol ?? "");

function refuseOtherScheme(source: string): void {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(source)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "file")
    throw new KamadoError("unsupported_address", `Nothing here reads ${scheme}://.`, { hint: HOW });
}

const pathOf = (source: string) => (/^file:\/\//i.test(source) ? fileURLToPath(source) : source);

async function fileAt(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    return await bytesOf(file.createReadStream());
  } catch (thrown) {
    if (thrown instanceof KamadoError) throw thrown;
    const { code = "" } = thrown as NodeJS.ErrnoException;
    throw unreadable(REASONS[code] ?? `the file cannot be read (${code})`, HINTS_BY_REASON[code] ?? HOW);
  }
}

const bytesOf = (stream: Readable) => readWhole(stream, { maxBytes: MAX_PAGE_BYTES, tooLarge });

const HOW = "Give addresses that begin with https://, files, or - for standard input.";
const REASONS: Record<string, string> = {
  ENOENT: "there is no such file",
  EISDIR: "this is a folder",
  EACCES: "you may not read this file",
};
const HINTS_BY_REASON: Record<string, string> = {
  EISDIR: "Give the files in it: the shell makes them of folder/*.",
};

const tooLarge = () => new KamadoError("input_too_large", `It has more than ${MAX_PAGE_BYTES} bytes.`);
const unreadable = (why: string, hint?: string) =>
  new KamadoError("invalid_input", `${why[0]!.toUpperCase()}${why.slice(1)}.`, hint ? { hint } : {});

/** What a name says of a text, where its beginning says nothing. */
const TYPES: readonly [RegExp, string][] = [
  [/\.(md|markdown|mdown|mkd)$/i, "text/markdown"],
  [/\.x?html?$/i, "text/html"],
  [/\.(txt|text|csv|tsv|jsonl?|ya?ml|toml|log|rst|org|tex)$/i, "text/plain"],
];
const typeOf = (path: string): string | null => {
  const name = path.replace(/\.(gz|zst)$/i, "");
  return TYPES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
};
const typeOfData = (uri: string) =>
  uri
    .slice(0, 500)
    .split(",")[0]!
    .replace(/^\s*data:/i, "");

const IN_A_BROWSER =
  "Open it in a browser, save it there as HTML, and give the file with --base-url and the address.";

function blockedBy(page: Page): KamadoError | undefined {
  if (!isBlocked(page)) return undefined;
  const { obstacle } = page;
  const hint = obstacle === "error" ? "Check the address in a browser." : IN_A_BROWSER;
  return new KamadoError("page_blocked", `It cannot be read: ${obstacleWords(obstacle)}.`, { hint });
}

/** Nothing tries again here, and nobody needs a destinations file for one page. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  fetch_failed: "Check that the address can be reached, and run the command again later.",
  address_refused: "Only an address that you name yourself may be in your own network: name that one.",
  page_without_text: IN_A_BROWSER,
  input_too_large: "Give a smaller file, or a part of it.",
};

function failureOf(thrown: unknown): KamadoError {
  const error = toKamadoError(thrown, "fetch_failed");
  const hint = HINTS[error.code];
  const { code, message, detail } = error;
  return hint === undefined ? error : new KamadoError(code, message, { cause: thrown, detail, hint });
}

function complain({ source, page, error }: Read, { complain: say }: ReadOptions): void {
  const name = printable(source, { max: 300 });
  if (error) {
    const code = paint("red", `kamado: ${error.code}`, process.stderr);
    say(
      `${prose(`${code}: ${name}: ${printable(error.message)}`, process.stderr)}\n${prose(printable(error.hint), process.stderr)}\n`,
    );
  } else if (page!.obstacle) {
    const what = `${name}: ${obstacleWords(page!.obstacle)}. ${IN_A_BROWSER}`;
    say(`${paint("yellow", "kamado", process.stderr)}: ${prose(what, process.stderr)}\n`);
  }
}

/** `null` where there is nothing to print. */
function viewOf({ source, page, error }: Read, format: Format): string | null {
  if (format === "json")
    return `${printableJson({ source, ...fieldsOf(page), ...(error && errorOf(error)) })}\n`;
  if (error) return null;
  return `${format === "text" ? page!.text : withTitle(page!)}\n`;
}

const errorOf = ({ code, message, hint }: KamadoError) => ({ error: { code, message, hint } });

function fieldsOf(page: Page | undefined) {
  if (page === undefined) return {};
  const { title, byline, site, published, language, canonicalUrl, url, format, obstacle, text, markdown } =
    page;
  return { title, byline, site, published, language, canonicalUrl, url, format, obstacle, text, markdown };
}

/** The title stands in the page too, or only in its head. */
function withTitle({ title, markdown }: Page): string {
  const isThere = title === null || /^#\s/.test(markdown);
  return isThere ? markdown : `# ${escapeMarkdown(title)}\n\n${markdown}`;
}

/** What stands before each of several sources. */
function separatorOf(format: Format, count: number): (source: string, isFirst: boolean) => string {
  if (format === "json" || count === 1) return () => "";
  return (source, isFirst) => {
    const name = printable(source);
    // `--` would end a comment.
    if (format === "markdown")
      return `${isFirst ? "" : "\n---\n\n"}<!-- ${name.replaceAll("--", "%2D%2D")} -->\n\n`;
    return `${isFirst ? "" : "\n"}===== ${name} =====\n\n`;
  };
}

const shown = (text: string, { format, isTerminal }: ReadOptions) =>
  isTerminal && format !== "json" ? printable(text, { lines: true, max: Number.POSITIVE_INFINITY }) : text;
