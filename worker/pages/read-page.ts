// Finds the article in a page that parse-page.ts has parsed. Fetches nothing. article.ts decides which pages come here and how long
// they may take.
import { articleIn } from "./clean-article.ts";
import { parsedPage, parsePage } from "./parse-page.ts";
import { textAtLast, textOf, textWithoutCaptions } from "./plain-text.ts";

export type Article = { title: string | null; text: string };

export function readPage(html: string): Article {
  const makeDocument = parsedPage(html);
  const document = makeDocument();
  const title = oneLine(document.querySelector("title")?.textContent);
  const body = textOf(document.body) || articleInData(document) || textAtLast(document.body);
  const found = articleIn(document, makeDocument());
  const text = found ? textWithoutCaptions(found.content) : "";
  return { title: oneLine(found?.title) ?? title, text: text || body };
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
export function readWholePage(html: string): Article {
  const document = parsePage(html);
  return { title: oneLine(document.querySelector("title")?.textContent), text: textOf(document.body) };
}

const oneLine = (text: string | null | undefined) => text?.replaceAll(/\s+/g, " ").trim() || null;
