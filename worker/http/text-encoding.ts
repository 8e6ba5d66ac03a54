// The text in bytes from outside. Owns which character set they are in: the byte order mark says it, or the header, or the page itself;
// what the bytes themselves show corrects a declaration that cannot be true. Never puts U+FFFD in place of what it cannot read.
/// <reference path="./html-encoding-sniffer.d.ts" />
import { createRequire } from "node:module";
import type Chardet from "chardet";
import type Sniff from "html-encoding-sniffer";

// Loaded when a text is not plainly UTF-8: together they take 12 MB of a worker that should stay small.
const require = createRequire(import.meta.url);
const chardet = () => require("chardet") as typeof Chardet;
const sniff: typeof Sniff = (...given) => (require("html-encoding-sniffer") as typeof Sniff)(...given);

/** `null` when the bytes are a text in no character set that is known. `contentType` as a header or a data: URI has it. */
export function decodeText(bytes: Uint8Array, contentType?: string | null): string | null {
  if (isUtf32(bytes)) return null;
  const marked = markOf(bytes);
  if (marked) return decode(bytes, marked);
  if (hasEscapes(bytes)) return decode(bytes, "iso-2022-jp");
  if (isUnreadable(bytes, contentType)) return null;
  const unicode = decodeUnmarkedUtf16(bytes) ?? decodeSureUtf8(bytes, contentType);
  // As anything else it would be read wrong.
  if (unicode !== null || isDamagedUtf8(bytes)) return unicode;
  const [likely, any] = decodeDeclared(bytes, contentType);
  return likely ?? decode(bytes, "utf-8") ?? decodeDetected(bytes) ?? any ?? null;
}

function decode(bytes: Uint8Array, label: string): string | null {
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** The byte order mark, which no declaration overrules. */
function markOf([first, second, third]: Uint8Array): string | null {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xff && second === 0xfe) return "utf-16le";
  return first === 0xfe && second === 0xff ? "utf-16be" : null;
}

/** Its mark begins like that of UTF-16, which would read a text full of zeros. Browsers do not know it. */
const isUtf32 = ([first, second, third, fourth]: Uint8Array) =>
  first === 0xff && second === 0xfe && third === 0 && fourth === 0;

/** No text holds these, but a declaration that is wrong finds them. */
const CONTROL = /(?!\s)\p{Cc}/u;
/** Nor many of these. Only what has been guessed is held to that: old Japanese texts have characters of their makers' own. */
const RARE = /(?!\s)[\p{Cc}\p{Cn}\p{Co}]/u;
const COMMON = /[\s -\u024f\u0370-\u04ff\u3000-\u30ff\uac00-\ud7a3]/g;
const LAST_NO_TEXT_BYTE = 8;

/** UTF-16 shows by bytes that no other text has: half of a space is 0, and half of a Japanese full stop is 2. */
function decodeUnmarkedUtf16(bytes: Uint8Array): string | null {
  if (bytes.length % 2 === 1 || !bytes.some((byte) => byte <= LAST_NO_TEXT_BYTE)) return null;
  const [best] = ["utf-16le", "utf-16be"]
    .map((label) => decode(bytes, label))
    .filter((text) => text !== null && !RARE.test(text))
    .map((text) => ({ text: text!, common: text!.match(COMMON)?.length ?? 0 }))
    .sort((a, b) => b.common - a.common);
  return best && best.common > 0 ? best.text : null;
}

/** ISO-2022 is ASCII to everybody who does not know it. Of its kinds only the Japanese one is known to browsers. */
const hasEscapes = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes("\x1b$");

/** Character sets of mails, ASCII to everybody who does not know them. */
const UNKNOWN_LABEL = /^((x-)?unicode-1-1-|x-)?utf-?7$|^hz(-gb-2312)?$|^iso-2022-(kr|cn)/i;

function isUnreadable(bytes: Uint8Array, contentType?: string | null): boolean {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 1_024)).toString("latin1");
  const page = /<(?:meta|\?xml)\b[^>]*\b(?:charset|encoding)\s*=\s*["']?\s*([\w:.-]+)/i.exec(start)?.[1];
  return [labelIn(contentType), page].some((label) => UNKNOWN_LABEL.test(label ?? ""));
}

const labelIn = (contentType?: string | null) =>
  /\bcharset\s*=\s*["']?([^"';,\s]+)/i.exec(contentType ?? "")?.[1];

/** So many characters of UTF-8 are no accident in another character set of several bytes. */
const NO_ACCIDENT = 8;
/** Nor two of three bytes each, which other sets would have to write with characters that do not stand beside each other. */
const LONG = /[\u0800-\uffff].*[\u0800-\uffff]/s;
const SINGLE_BYTE = /^(windows|iso-8859|koi8|macintosh|x-mac|ibm)/i;

/** Bytes that are UTF-8 are meant as UTF-8, whatever a server or a page copied from elsewhere says. */
function decodeSureUtf8(bytes: Uint8Array, contentType?: string | null): string | null {
  const text = decode(bytes, "utf-8");
  if (text === null) return null;
  const others = bytes.length - text.length;
  if (others === 0 || others > NO_ACCIDENT || LONG.test(text)) return text;
  const [declared = "utf-8"] = declaredIn(bytes, contentType);
  return SINGLE_BYTE.test(declared) || /^utf/i.test(declared) ? text : null;
}

/** Whether nearly all of it is UTF-8: it was cut in the middle of a character, or one was damaged. */
function isDamagedUtf8(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  const damaged = text.match(/\ufffd/g)?.length ?? 0;
  const whole = text.match(/[^\s -~\ufffd]/gu)?.length ?? 0;
  return damaged > 0 && whole > 2 && whole > 3 * damaged;
}

/** What the header and the page say, the more likely first. Servers send windows-1252, or what stands for it, for everything. */
function declaredIn(bytes: Uint8Array, contentType?: string | null): string[] {
  const label = labelIn(contentType);
  const options = { defaultEncoding: "", maxPrescanBytes: PRESCAN };
  const header =
    label === undefined ? "" : sniff(NOTHING, { ...options, transportLayerEncodingLabel: label });
  const page = sniff(bytes, options);
  const both = header === "windows-1252" ? [page, header] : [header, page];
  return both.filter((name) => name !== "");
}
const NOTHING = new Uint8Array();
/** Browsers look at 1,024 bytes first, and later again when they find the page's word further down. */
const PRESCAN = 256 * 1024;

/** What is likely, and what else the bytes can be. */
function decodeDeclared(bytes: Uint8Array, contentType?: string | null): (string | undefined)[] {
  const all = declaredIn(bytes, contentType).flatMap((name) => {
    const text = isContradicted(name, bytes) ? null : decode(bytes, name);
    return text === null || CONTROL.test(text) ? [] : [{ name, text }];
  });
  const likely = all.find(({ name, text }) => name !== "windows-1252" || !isOdd(text));
  return [likely?.text, all[0]?.text];
}

/** Percent, as chardet counts. */
const SURE = 90;
const LIKELY = 60;

/** Whether the bytes are in another character set of several bytes, which shows clearly. */
function isContradicted(name: string, bytes: Uint8Array): boolean {
  if (SINGLE_BYTE.test(name) && name !== "windows-1252") return false;
  const all = guesses(bytes);
  const own = all.find((guess) => same(guess.name) === same(name))?.confidence ?? 0;
  const [best] = all;
  return best !== undefined && best.confidence >= SURE && !SINGLE_BYTE.test(best.name) && own < LIKELY;
}

const same = (name: string) => name.toLowerCase().replace(/^gbk$/, "gb18030");

/** Statistics need no more, and take time in proportion to it. Bytes. */
const SAMPLE = 64 * 1024;
const CONTEXT = 1_024;
const ASCII_END = 0x80;

function guesses(bytes: Uint8Array) {
  const from = Math.max(0, bytes.findIndex((byte) => byte >= ASCII_END) - CONTEXT);
  return chardet()
    .analyse(bytes.subarray(from, from + SAMPLE))
    .filter(({ name }) => !/^(ASCII|UTF-)/.test(name));
}

/** What only statistics show. Too little of a text shows nothing: then it is refused, because it would be read wrong. */
function decodeDetected(bytes: Uint8Array): string | null {
  const all = guesses(bytes);
  const isSure = (all[0]?.confidence ?? 0) >= SURE;
  const western = decodeShortWestern(bytes);
  const kana = JAPANESE.map((name) => decode(bytes, name)).filter(hasKana);
  const japanese = isSure ? [] : [...kana, western === null ? decodeShortJapanese(bytes) : null];
  const others = all
    .filter(({ name, confidence }) => IS_SINGLE.test(name) || confidence >= LIKELY)
    .map(({ name }) => decode(bytes, name === "KOI8-R" ? "koi8-u" : name))
    .filter((text) => text !== null && !(isOdd(text) && !IDEOGRAPHS.test(text)));
  return [...japanese, ...others, western].find((text) => text !== null && !RARE.test(text)) ?? null;
}

const IS_SINGLE = /^(windows|iso-8859|koi8)/i;
const IDEOGRAPHS = /[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]/;

// A sign in the middle of a word, a capital behind a small letter, an opening quote behind a letter. Camels in ASCII are words.
const ODD =
  /\p{L}(?:(?:(?!\p{ASCII})[\p{So}\p{Sm}\p{Sc}\p{No}\p{Sk}¡¿«»†‡‰ƒ])+(?=\p{L})|[“„‹«¹])|[¼½¾](?=\p{L})|(?![a-z][A-Z])\p{Ll}(?=\p{Lu})|ƒ/gu;
const OTHERS = /[^\p{ASCII}]/gu;

/** Whether letters and signs stand together as no language writes them. A few of them stand in every long text. */
function isOdd(text: string): boolean {
  const sample = text.slice(0, SAMPLE);
  return (sample.match(ODD)?.length ?? 0) * 12 > (sample.match(OTHERS)?.length ?? 0);
}

/** A few letters with accents among others without. */
function decodeShortWestern(bytes: Uint8Array): string | null {
  const text = decode(bytes, "windows-1252");
  const sample = text?.slice(0, SAMPLE);
  const letters = sample?.match(/\p{L}/gu)?.length ?? 0;
  const plain = sample?.match(/[a-z]/gi)?.length ?? 0;
  return text !== null && plain * 2 > letters && !isOdd(text) ? text : null;
}

/** Japanese without these letters, such as a name: no other set begins so many characters with these bytes. */
function decodeShortJapanese(bytes: Uint8Array): string | null {
  if (bytes.length > SHORT) return null;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  const isLikely = SHIFT_JIS.test(text) && SHIFT_JIS_ROW.test(text);
  return isLikely ? decode(bytes, "shift_jis") : null;
}

/** Bytes. Of more, statistics are sure. */
const SHORT = 1_024;
const SHIFT_JIS = /^(?:[\0-\x7f\xa1-\xdf]|[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc])*$/;
const SHIFT_JIS_ROW = /(?:^|[^a-z])(?:[\x81-\x9f][\x40-\x7e\x80-\xfc]){2}/i;

/** A line or two are too short for statistics, but only Japanese has these letters. */
const JAPANESE = ["shift_jis", "euc-jp", "utf-16le", "utf-16be"];
const hasKana = (text: string | null) => (text?.match(/[\u3041-\u3096\u30a1-\u30fa]/g)?.length ?? 0) >= 2;
