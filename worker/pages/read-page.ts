// Finds the article in a page that parse-page.ts has parsed. Fetches nothing. article.ts decides which pages come here and how long
// they may take.
import { Readability } from "@mozilla/readability";
import { paragraphsAsMarkdown } from "./escape-markdown.ts";
import { parsePage } from "./parse-page.ts";
import { textAtLast, textOf } from "./plain-text.ts";
import { markdownOf } from "./to-markdown.ts";

export type Article = { title: string | null; text: string; markdown: string };
export type PageOptions = { url?: string | undefined };

export function readPage(html: string, { url }: PageOptions = {}): Article {
  const document = parsePage(html);
  // Readability takes the document apart, so what is needed if it finds nothing is read before.
  const title = oneLine(document.querySelector("title")?.textContent);
  const shown = textOf(document.body);
  const body = shown || articleInData(document) || textAtLast(document.body);
  const found = new Readability<Node>(document, { serializer: (node) => node }).parse();
  const content = found?.content;
  const own = oneLine(found?.title) ?? title;
  const text = content ? textOf(content) : "";
  if (content && text !== "") return { title: own, text, markdown: markdownOf(content, { url, title: own }) };
  const markdown = shown === "" ? "" : markdownOf(parsePage(html).body, { url, title: own });
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
