// Reads a page that parse-page.ts has parsed: what it is about, what it says of itself, and whether something stands in the way. Fetches
// nothing. Owns the order in which that is found out. article.ts decides which pages come here and how long they may take.
import type { Page } from "../job/handler.ts";
import { articleIn } from "./clean-article.ts";
import { paragraphsAsMarkdown } from "./escape-markdown.ts";
import { isPartOf, isSaidToBe, mainOf } from "./main-text.ts";
import { baseOf, metadataOf } from "./metadata.ts";
import { dropConsent, obstacleOf } from "./obstacle.ts";
import { parsedPage, parsePage } from "./parse-page.ts";
import { textAtLast, textOf, textWithoutCaptions } from "./plain-text.ts";
import { type Item, itemsIn, lineOrNull } from "./structured-data.ts";
import { markdownOf } from "./to-markdown.ts";

/** The rest of the page is as for a page of which nothing else is known. */
export type Article = Pick<Page, "title" | "text" | "markdown"> & Partial<Page>;
export type ReadOptions = { url?: string | undefined };

export function readPage(html: string, { url }: ReadOptions = {}): Article {
  // One document for each that takes it apart: to make another is cheaper than to copy one.
  const makeDocument = parsedPage(html);
  const document = makeDocument();
  const items = itemsIn(document);
  const base = baseOf(document, url);
  const kind = isSaidToBe(document, items);
  const metadata = metadataOf(document, items, url);
  const found = articleIn(withoutConsent(document));
  const main = kind === "article" && found ? null : mainOf(withoutConsent(makeDocument()));
  const isArticle = found !== null && (main === null || (kind === null && !isPartOf(found.content, main)));
  const content: Node = isArticle ? found.content : main!;
  const text = isArticle ? textWithoutCaptions(content) : textOf(content);
  // Of a page with several authors it guesses the first one.
  const known = metadata(text, found && (isArticle ? found : { ...found, byline: null }));
  const options = { url: base, title: known.title };
  const shown =
    text === ""
      ? shownInstead(makeDocument(), items, options)
      : { text, markdown: markdownOf(content, options) };
  const obstacle = obstacleOf({ makeDocument, items, title: known.title, text: shown.text });
  return { ...known, ...shown, url: url ?? null, obstacle };
}

function withoutConsent(document: Document): Document {
  dropConsent(document);
  return document;
}

type Shown = Pick<Page, "text" | "markdown">;

function shownInstead(
  { body }: Document,
  items: readonly Item[],
  options: { url: string | undefined; title: string | null },
): Shown {
  const own = textOf(body);
  if (own !== "") return { text: own, markdown: markdownOf(body, options) };
  const text = articleInData(items) || textAtLast(body);
  return { text, markdown: paragraphsAsMarkdown(text) };
}

/** Pages that scripts build often hold their article once more, for search engines. */
const articleInData = (items: readonly Item[]): string =>
  items
    .map(({ articleBody }) => (typeof articleBody === "string" ? articleBody.trim() : ""))
    .filter((body) => body !== "")
    .join("\n");

/** Title and text of a page of which everything counts. */
export function readWholePage(html: string, { url }: ReadOptions = {}): Article {
  const document = parsePage(html);
  const title = lineOrNull(document.querySelector("title")?.textContent);
  return { title, text: textOf(document.body), markdown: markdownOf(document.body, { url, title }) };
}
