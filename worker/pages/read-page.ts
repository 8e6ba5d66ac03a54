// Reads a page that parse-page.ts has parsed: what it is about, what it says of itself, and whether something stands in the way. Fetches
// nothing. Owns the order in which that is found out. article.ts decides which pages come here and how long they may take.
import type { Page } from "../job/handler.ts";
import { articleIn } from "./clean-article.ts";
import { isPartOf, isSaidToBe, mainOf } from "./main-text.ts";
import { metadataOf } from "./metadata.ts";
import { dropConsent, obstacleOf } from "./obstacle.ts";
import { parsedPage, parsePage } from "./parse-page.ts";
import { textAtLast, textOf, textWithoutCaptions } from "./plain-text.ts";
import { type Item, itemsIn, oneLine } from "./structured-data.ts";

/** The rest of the page is as for a page of which nothing else is known. */
export type Article = Pick<Page, "title" | "text"> & Partial<Page>;
export type ReadOptions = { url?: string | undefined };

export function readPage(html: string, { url }: ReadOptions = {}): Article {
  // One document for each that takes it apart: to make another is cheaper than to copy one.
  const makeDocument = parsedPage(html);
  const document = makeDocument();
  const items = itemsIn(document);
  const kind = isSaidToBe(document, items);
  const metadata = metadataOf(document, items, url);
  const found = articleIn(withoutConsent(document));
  const main = kind === "article" && found ? null : mainOf(withoutConsent(makeDocument()));
  const isArticle = found !== null && (main === null || (kind === null && !isPartOf(found.content, main)));
  const content: Node = isArticle ? found.content : main!;
  const text =
    (isArticle ? textWithoutCaptions(content) : textOf(content)) || textInstead(makeDocument(), items);
  const known = { ...metadata(text, found), url: url ?? null, text };
  return { ...known, obstacle: obstacleOf({ makeDocument, items, title: known.title, text }) };
}

function withoutConsent(document: Document): Document {
  dropConsent(document);
  return document;
}

const textInstead = ({ body }: Document, items: readonly Item[]): string =>
  textOf(body) || articleInData(items) || textAtLast(body);

/** Pages that scripts build often hold their article once more, for search engines. */
const articleInData = (items: readonly Item[]): string =>
  items
    .map(({ articleBody }) => (typeof articleBody === "string" ? articleBody.trim() : ""))
    .filter((body) => body !== "")
    .join("\n");

/** Title and text of a page of which everything counts. */
export function readWholePage(html: string): Article {
  const document = parsePage(html);
  return { title: oneLine(document.querySelector("title")?.textContent), text: textOf(document.body) };
}
