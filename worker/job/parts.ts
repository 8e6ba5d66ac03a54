// An article or a page in the parts that a model gets. Owns which text is refused, how a page becomes prose, and what the output says of a
// page. Cutting is left to context.pages and context.texts.
import { z } from "zod";
import { type Context, type Page, refuse } from "./handler.ts";
import { proseOf } from "./prose.ts";

/** `path`: the headings above it. */
export type TextPart = { text: string; path: string[] };

const PART_CHARACTERS = 2_000;

/** Plain text has no headings, and what looks like Markdown in it may be meant as it stands. */
export async function partsOf(
  source: string | Page,
  { pages, texts }: Pick<Context, "pages" | "texts">,
): Promise<TextPart[]> {
  if (typeof source === "string" || source.format === "text") {
    const text = typeof source === "string" ? source : source.text;
    return (await texts.chunks(text, PART_CHARACTERS)).map((part) => ({ text: part, path: [] }));
  }
  const chunks = await pages.chunks(source, PART_CHARACTERS);
  return chunks.map(({ text, path }) => ({ text: proseOf(text), path })).filter(({ text }) => text !== "");
}

// A mail or a saved archive, as SES stores mails and browsers save pages: in its parts the text is encoded once more.
const MIME_START =
  /^\s*(?:[\w-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:mime-version|content-transfer-encoding|content-type: *multipart)/i;
/** The same where a reader took it for a page or a text: the lines run on, or have lost their indentation. */
const MIME_RUN_ON =
  /^\s*(?:From|To|Subject|Date|Received|Return-Path|Delivered-To|Message-ID|MIME-Version|Content-Type|X-[\w-]+): [\s\S]{0,3000}?\bmime-version: *1\.0\b/i;

export function refuseMime(text: string): void {
  if (MIME_START.test(text.slice(0, 16_000)) || MIME_RUN_ON.test(text.slice(0, 4_000)))
    refuse(
      "invalid_input",
      "This is a mail or a saved archive (MIME), whose text is encoded in parts; send the HTML or the text of the part that you mean.",
    );
}

/** For a handler's output. */
export const AboutPage = z.strictObject({
  title: z.string().optional(),
  url: z.string().optional().describe("The address that answered, after redirects."),
  canonicalUrl: z.string().optional().describe("The address that the page names as its own."),
  byline: z.string().optional(),
  site: z.string().optional(),
  published: z.string().optional(),
  language: z.string().optional(),
  format: z.enum(["html", "feed", "pdf", "markdown", "text"]),
});

/** What is known of a page. */
export function aboutPage({ title, url, canonicalUrl, byline, site, published, language, format }: Page) {
  const known = Object.entries({ title, url, canonicalUrl, byline, site, published, language, format });
  return Object.fromEntries(known.filter(([, value]) => value !== null)) as z.input<typeof AboutPage>;
}

/** For a handler's input. */
export const PageAddress = z
  .string()
  .regex(/^(?:https?:\/\/|s3:\/\/|data:)/i, "expected https://…, s3://bucket/key or a data: URI");
export const ObjectAddress = z
  .string()
  .startsWith("s3://", "expected s3://bucket/key; other addresses and files go into url");
/** A file that a command puts in place of file:… is one. Of its letters nobody wants a summary. */
export const TextItself = z
  .string()
  .regex(/^(?!data:[^,]{0,200};base64,)/i, "expected the text itself; a file or a data: URI goes into url");

// The language becomes part of a handler's instructions, so it must not contain a line end or a chat template's mark.
const LANGUAGE = /^[\p{L}\p{M}\p{N} '’.,()/_-]+$/u;

/** For a handler's input: words that may stand in its instructions. */
export const wordsField = (what: string, max: number) =>
  z.string().max(max).regex(LANGUAGE, `expected ${what}`);
