// A PDF as a page: what its metadata says, and its text as Markdown. Owns the errors of PDF. How the pieces of text on its pages become
// lines and paragraphs is decided in pdf-paragraphs.ts. Runs in the thread of page-thread.ts, and loads its library only there.
import { fileURLToPath } from "node:url";
import { getDocument } from "unpdf/pdfjs";
import { KamadoError } from "../errors.ts";
import type { Page } from "../job/handler.ts";
import type { KnownPage } from "./document.ts";
import { escapeMarkdown } from "./escape-markdown.ts";
import { isTitle } from "./page-title.ts";
import { linesOf, type Paragraph, paragraphsOf, type TextPiece } from "./pdf-paragraphs.ts";

type Pdf = Awaited<ReturnType<typeof getDocument>["promise"]>;

const unreadable = (why: string) =>
  new KamadoError("document_unreadable", `The document cannot be read: ${why}.`);

export async function readPdf(bytes: Uint8Array, { maxPages }: { maxPages: number }): Promise<KnownPage> {
  const pdf = await opened(bytes);
  if (pdf.numPages > maxPages)
    throw new KamadoError("input_too_large", `The PDF has ${pdf.numPages} pages; the limit is ${maxPages}.`);
  const { title, ...about } = await aboutOf(pdf);
  const paragraphs = paragraphsOf(await linesIn(pdf));
  if (paragraphs.length === 0)
    throw unreadable(
      `its ${pdf.numPages} pages have no text, so they are probably scanned pictures; make it searchable with OCR first`,
    );
  const own = title ?? firstHeading(paragraphs);
  return {
    ...about,
    title: own,
    format: "pdf",
    text: paragraphs.map(({ text }) => text).join("\n"),
    markdown: markdownOf(paragraphs, own),
  };
}

/** Tables of Adobe for Japanese, Chinese and Korean: which letters the codes of a font are that is not in the file. */
const CMAPS = fileURLToPath(new URL("./cmaps/", import.meta.url));

async function opened(data: Uint8Array): Promise<Pdf> {
  // The library takes the bytes over.
  const options = {
    data: Uint8Array.from(data),
    cMapUrl: CMAPS,
    cMapPacked: true,
    disableFontFace: true,
    verbosity: 0,
  };
  try {
    return await getDocument({ ...options, useSystemFonts: false, useWasm: false, useWorkerFetch: false })
      .promise;
  } catch (thrown) {
    const { name } = thrown as Error;
    if (name === "PasswordException") throw unreadable("it asks for a password; save it without one");
    throw unreadable("it is a damaged PDF; open it in a viewer and save it again");
  }
}

async function linesIn(pdf: Pdf) {
  const pages: TextPiece[][] = [];
  for (let number = 1; number <= pdf.numPages; number++) {
    const page = await pdf.getPage(number).catch(() => null);
    // One damaged page does not cost the others.
    const content = await page?.getTextContent().catch(() => null);
    const styles = content?.styles ?? {};
    const pieces = (content?.items ?? []).flatMap((item) =>
      "str" in item ? { ...item, vertical: styles[item.fontName]?.vertical ?? false } : [],
    );
    pages.push(pieces as TextPiece[]);
    page?.cleanup();
  }
  return pages.map(linesOf);
}

type About = Pick<Page, "title" | "byline" | "published" | "language">;

async function aboutOf(pdf: Pdf): Promise<About> {
  const { info, metadata } = await pdf.getMetadata().catch(() => ({ info: {}, metadata: null }));
  const known = info as Record<string, unknown>;
  const said = (value: unknown) => (typeof value === "string" ? value.replaceAll(/\s+/g, " ").trim() : "");
  const title = said(known.Title) || said(metadata?.get("dc:title"));
  const creator: unknown = metadata?.get("dc:creator");
  const author = said(known.Author) || said(Array.isArray(creator) ? creator.join(", ") : creator);
  return {
    title: isFileName(title) ? null : title || null,
    byline: author || null,
    published: dateOf(said(known.CreationDate)),
    language: /^[a-z]{2,3}(?:-[\w-]+)?$/i.exec(said(known.Language))?.[0] ?? null,
  };
}

/** What programs put there by themselves. */
const isFileName = (title: string) =>
  /^(?:untitled|無題)|^Microsoft (?:Word|PowerPoint|Excel) - |\.(?:docx?|indd|pptx?|xlsx?|tex|dvi|pdf|ps)$/i.test(
    title,
  );

const PDF_DATE = /^(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-]\d\d)'?(\d\d)?)?/;

function dateOf(date: string): string | null {
  const [, year, month = "01", day = "01", hour, minute = "00", second = "00", utc, offset, rest = "00"] =
    PDF_DATE.exec(date) ?? [];
  if (year === undefined) return null;
  const zone = utc ?? (offset ? `${offset}:${rest}` : "");
  const iso = `${year}-${month}-${day}${hour ? `T${hour}:${minute}:${second}${zone}` : ""}`;
  return Number.isNaN(Date.parse(iso)) ? null : iso;
}

const firstHeading = (paragraphs: readonly Paragraph[]) =>
  paragraphs.find(({ level }) => level > 0)?.text ?? null;

const BULLET = /^[•◦▪‣●○■□▶►·–]\s*(?=\S)/;

function markdownOf(paragraphs: readonly Paragraph[], title: string | null): string {
  const isOwn = ({ level, text }: Paragraph) => level > 0 && title !== null && isTitle(text, title);
  const own = paragraphs.find(isOwn);
  return paragraphs
    .filter((one) => one !== own)
    .map(({ level, text }) => {
      if (level > 0) return `${"#".repeat(level)} ${escapeMarkdown(text)}`;
      const item = text.replace(BULLET, "");
      return item === text
        ? escapeMarkdown(text, { lineStart: true })
        : `- ${escapeMarkdown(item, { lineStart: true })}`;
    })
    .join("\n\n")
    .replaceAll(/^(- .*)\n\n(?=- )/gm, "$1\n");
}
