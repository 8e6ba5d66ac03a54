// Finds the article in a page that parse-page.ts has parsed. Fetches nothing. article.ts decides which pages come here and how long
// they may take.
import { articleIn } from "./clean-article.ts";
import { paragraphsAsMarkdown } from "./escape-markdown.ts";
import { parsedPage, parsePage } from "./parse-page.ts";
import { textAtLast, textOf, textWithoutCaptions } from "./plain-text.ts";
import { markdownOf } from "./to-markdown.ts";

export type Article = { title: string | null; text: string; markdown: string };
export type PageOptions = { url?: string | undefined };

export function readPage(html: string, { url }: PageOptions = {}): Article {
  const makeDocument = parsedPage(html);
  const document = makeDocument();
  const title = oneLine(document.querySelector("title")?.textContent);
  const shown = textOf(document.body);
  const body = shown || articleInData(document) || textAtLast(document.body);
  const found = articleIn(document, makeDocument());
  const content = found?.content;
  const own = oneLine(found?.title) ?? title;
  const text = content ? textWithoutCaptions(content) : "";
  if (content && text !== "") return { title: own, text, markdown: markdownOf(content, { url, title: own }) };
  const markdown = shown === "" ? "" : markdownOf(makeDocument().body, { url, title: own });
  return { title: own, text: body, markdown: markdown || paragraphsAsMarkdown(body) };
}

/** Pages that scripts build often hold their article once more, for search engines: as JSON-LD. */
function articleInData(document: Document): string {
  const scripts = [...document.querySelectorAll('script[type="application/ld+json"]')];
  return scripts.flatMap(({ textContent }) => bodiesIn(textContent ?? "")).join("\n");
}

function bodiesIn(json: string): string[] {
  const bodies: string[] = [];
  try {
    JSON.parse(json, (name, value) => {
      if (name === "articleBody" && typeof value === "string") bodies.push(value.trim());
      return value;
    });
  } catch {
    return [];
  }
  return bodies.filter((body) => body !== "");
}

/** Title and text of a page of which everything counts. */
export function readWholePage(html: string, { url }: PageOptions = {}): Article {
  const document = parsePage(html);
  const title = oneLine(document.querySelector("title")?.textContent);
  return { title, text: textOf(document.body), markdown: markdownOf(document.body, { url, title }) };
}

const oneLine = (text: string | null | undefined) => text?.replaceAll(/\s+/g, " ").trim() || null;
