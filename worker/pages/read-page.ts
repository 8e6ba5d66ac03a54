// Reads a page that parse-page.ts has parsed: what it is about, what it says of itself, and whether something stands in the way. Fetches
// nothing. Owns the order in which that is found out. article.ts decides which pages come here and how long they may take.
import type { Page } from "../job/handler.ts";
import { articleIn } from "./clean-article.ts";
import { paragraphsAsMarkdown } from "./escape-markdown.ts";
import { isPartOf, isSaidToBe, mainOf } from "./main-text.ts";
import { metadataOf } from "./metadata.ts";
import { obstacleOf } from "./obstacle.ts";
import { parsedPage, parsePage } from "./parse-page.ts";
import { textAtLast, textOf, textWithoutCaptions } from "./plain-text.ts";
import { itemsIn, oneLine } from "./structured-data.ts";
import { markdownOf } from "./to-markdown.ts";

/** The rest of the page is as for a page of which nothing else is known. */
export type Article = Pick<Page, "title" | "text"> & Partial<Page>;
export type ReadOptions = { url?: string | undefined };

export function readPage(html: string, { url }: ReadOptions = {}): Article {
  const makeDocument = parsedPage(html);
  const document = makeDocument();
  const items = itemsIn(document);
  const found = articleIn(document, makeDocument());
  const kind = isSaidToBe(document, items);
  const main = kind === "article" && found ? null : mainOf(makeDocument());
  const isArticle = found !== null && (main === null || (kind === null && !isPartOf(found.content, main)));
  const content: Node = isArticle ? found.content : main!;
  const text =
    (isArticle ? textWithoutCaptions(content) : textOf(content)) ||
    textOf(document.body) ||
    articleInData(items) ||
    textAtLast(document.body);
  const metadata = metadataOf(
    document,
    { items, text, url },
    found ?? { title: null, byline: null, site: null },
  );
  const obstacle = obstacleOf({ document, items, title: metadata.title, text });
  const markdown = markdownOf(content, { url, title: metadata.title }) || paragraphsAsMarkdown(text);
  return { ...metadata, url: url ?? null, text, markdown, obstacle };
}

/** Pages that scripts build often hold their article once more, for search engines. */
const articleInData = (items: ReturnType<typeof itemsIn>): string =>
  items
    .map(({ articleBody }) => (typeof articleBody === "string" ? articleBody.trim() : ""))
    .filter((body) => body !== "")
    .join("\n");

/** Title and text of a page of which everything counts. */
export function readWholePage(html: string, { url }: ReadOptions = {}): Article {
  const document = parsePage(html);
  const title = oneLine(document.querySelector("title")?.textContent);
  return { title, text: textOf(document.body), markdown: markdownOf(document.body, { url, title }) };
}
