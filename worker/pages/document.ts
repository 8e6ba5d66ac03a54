// What bytes from outside are: a page, a feed, Markdown or a text, or, before anything else is looked at, a PDF. Owns that decision, by
// the bytes first, because servers send PDF as octet-stream and pages as text/plain; and the words for what cannot be read. Pure.

import { type ErrorCode, KamadoError } from "../errors.ts";
import { decodeText } from "../http/text-encoding.ts";
import type { Page } from "../job/handler.ts";
import { isFeed } from "./feed.ts";

export type DocumentBytes = {
  bytes: Uint8Array;
  contentType?: string | null | undefined;
  url?: string | null | undefined;
};
/** What is read of one. */
export type KnownPage = Partial<Page> & Pick<Page, "text">;

/** How a thread says that a document cannot be read. An error that was thrown would end the thread. */
export type Refused = { refused: { code: ErrorCode; message: string } };
export const refused = (thrown: unknown): Refused => {
  if (!(thrown instanceof KamadoError)) throw thrown;
  return { refused: { code: thrown.code, message: thrown.message } };
};

export type Format =
  | { format: "html" | "feed" | "jsonfeed" | "markdown" | "text"; text: string }
  | { unreadable: string };

export function formatOf({ bytes, contentType, url }: DocumentBytes): Format {
  if (bytes.length === 0) return { unreadable: "it is empty" };
  const known = binaryOf(bytes);
  if (known !== undefined) return { unreadable: `it looks like ${known}` };
  const text = decodeText(bytes, contentType);
  const type = (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase();
  if (text === null) return { unreadable: `it is no text in a known character set${sentAs(type)}` };
  return textFormat(text, type, pathOf(url));
}

const sentAs = (type: string) => (type === "" ? "" : ` (sent as ${type.slice(0, 80)})`);

/** Mail programs and printers put lines before a PDF. Bytes. */
const PDF_START = 1_024;

const latin1 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
export const isPdf = (bytes: Uint8Array): boolean => latin1(bytes.subarray(0, PDF_START)).includes("%PDF-");

const PICTURE = "a picture; kinds that read pictures take it";
const ARCHIVE = "an archive or compressed data; unpack it";
// How the bytes begin, as characters; a question mark stands for any of them.
const BINARIES: readonly [what: string, starts: readonly string[]][] = [
  [PICTURE, ["\x89PNG", "\xff\xd8\xff", "GIF87a", "GIF89a", "II*\0", "MM\0*", "\0\0\x01\0", "RIFF????WEBP"]],
  [PICTURE, ["avif", "avis", "heic", "heix", "mif1", "msf1"].map((brand) => `????ftyp${brand}`)],
  [
    "a sound recording",
    ["ID3\x02", "ID3\x03", "ID3\x04", "\xff\xfb", "\xff\xf3", "\xff\xf2", "OggS\0", "fLaC\0"],
  ],
  ["a sound recording", ["MThd\0", "#!AMR", "RIFF????WAVE", "????ftypM4A"]],
  ["a video", ["\x1aE\xdf\xa3", "\0\0\x01\xba", "\0\0\x01\xb3", "FLV\x01", "RIFF????AVI ", "????ftyp"]],
  ["a document in Rich Text Format; save it as PDF or text", ["{\\rtf"]],
  ["a document of an older Office; save it as PDF or text", ["\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]],
  ["PostScript; convert it to PDF", ["%!PS", "\xc5\xd0\xd3\xc6"]],
  [ARCHIVE, ["\x1f\x8b", "BZh?1AY", "\xfd7zXZ\0", "\x28\xb5\x2f\xfd", "7z\xbc\xaf", "Rar!\x1a"]],
  [ARCHIVE, [`${"?".repeat(257)}ustar`]],
  ["a program", ["\x7fELF", "MZ\x90", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe", "\0asm"]],
  ["a database", ["SQLite format 3\0"]],
  ["a font", ["wOFF\0", "wOF2\0", "OTTO\0", "\0\x01\0\0\0"]],
];
/** Bytes. */
const HEAD = 300;

function binaryOf(bytes: Uint8Array): string | undefined {
  const head = latin1(bytes.subarray(0, HEAD));
  if (["PK\x03\x04", "PK\x05\x06", "PK\x07\x08"].includes(head.slice(0, 4))) return zipOf(bytes);
  return BINARIES.find(([, starts]) => starts.some((start) => beginsWith(head, start)))?.[0];
}

const beginsWith = (head: string, start: string) =>
  head.length >= start.length && [...start].every((one, at) => one === "?" || one === head[at]);

/** Names of files stand at the beginning of a ZIP file and, all of them, at its end. */
function zipOf(bytes: Uint8Array): string {
  const names = latin1(bytes.subarray(0, ZIP_NAMES)) + latin1(bytes.subarray(-ZIP_NAMES));
  if (/word\//.test(names)) return "a Word document (docx); save it as PDF or text";
  if (/xl\//.test(names)) return "a workbook of Excel (xlsx); save it as CSV or PDF";
  if (/ppt\//.test(names)) return "a PowerPoint presentation (pptx); save it as PDF";
  if (/application\/epub\+zip/.test(names)) return "an EPUB book; convert it to HTML or PDF";
  if (/application\/vnd\.oasis\.opendocument/.test(names))
    return "an OpenDocument file; save it as PDF or text";
  return "a ZIP archive; unpack it";
}
const ZIP_NAMES = 16_384;

const pathOf = (url: string | null | undefined) =>
  (URL.parse(url ?? "")?.pathname ?? url ?? "").toLowerCase();

const HTML_TYPE = /^(?:text\/html|application\/xhtml\+xml)$/;
const MARKDOWN_TYPE = /^text\/(?:x-|vnd\.)?markdown$/;
const MARKDOWN_PATH = /\.(?:md|markdown|mdown|mkd)$/;
const TEXT_PATH = /\.(?:txt|text|csv|tsv|json|jsonl|ya?ml|toml|log|rst|org|tex)$/;
const NO_TYPE =
  /^(?:|application\/octet-stream|binary\/octet-stream|application\/unknown|application\/xml|text\/xml|\*\/\*)$/;
const LEADING = String.raw`^(?:\s|\ufeff|<!--[\s\S]*?-->|<\?[^<>]*\?>)*`;
/** No text in another format begins so. */
const IS_PAGE = new RegExp(String.raw`${LEADING}<(?:!doctype\s+html|html[\s>])`, "i");
const IS_MARKUP = new RegExp(String.raw`${LEADING}<(?:!doctype|!\[CDATA|[a-z][\w:.-]*[\s/>])`, "i");
/** A page's first tags may be left out. In a text, a word may stand in such marks too: `<anyone> said so`. */
const IS_PART_OF_PAGE = new RegExp(
  String.raw`${LEADING}<(?:!doctype|!\[CDATA|(?:head|title|meta|link|base|style|script|noscript|body|frameset|article|main|header|nav|section|aside|div|p|h[1-6]|[uod]l|table|center|font|blockquote|pre|span|a|b|i|em|strong|ruby|br|hr|img)[\s/>])`,
  "i",
);
const ENDS_AS_PAGE = /<\/(?:html|body)\s*>\s*$/i;
const IS_DRAWING = new RegExp(String.raw`${LEADING}(?:<!doctype\s+svg[^<>]*>\s*)?<svg[\s>]`, "i");
/** Characters. */
const START = 4_096;

function textFormat(text: string, type: string, path: string): Format {
  const start = text.slice(0, START);
  if (IS_DRAWING.test(start)) return { unreadable: "it looks like a drawing (SVG)" };
  if (isFeed(text)) return { format: "feed", text };
  if (IS_PAGE.test(start)) return { format: "html", text };
  if (MARKDOWN_TYPE.test(type) || MARKDOWN_PATH.test(path)) return { format: "markdown", text };
  if (isJsonFeed(start)) return { format: "jsonfeed", text };
  // Servers send every file as a page that they know nothing of.
  if (HTML_TYPE.test(type)) return { format: /<[a-z!/]/i.test(text) ? "html" : "text", text };
  if (/\+xml$/.test(type)) return { format: IS_MARKUP.test(start) ? "html" : "text", text };
  const mayBePage = NO_TYPE.test(type) && !TEXT_PATH.test(path);
  const isPage = mayBePage && (IS_PART_OF_PAGE.test(start) || ENDS_AS_PAGE.test(text.slice(-1_000)));
  return { format: isPage ? "html" : "text", text };
}

const isJsonFeed = (start: string) =>
  /^\s*\{[\s\S]*"version"\s*:\s*"https?:\\?\/\\?\/jsonfeed\.org\\?\/version\\?\//.test(start);
