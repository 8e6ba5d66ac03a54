// Parses a page and finds the article in it. Runs no script and fetches nothing. Has no limits of its own: article.ts decides
// which pages come here and how long they may take.
import { Readability } from "@mozilla/readability";
import { parseHTML } from "linkedom";
import { textOf } from "./plain-text.ts";

export type Article = { title: string | null; text: string };

export function readPage(html: string): Article {
  const document = parse(html);
  // Readability takes the document apart, so what is needed if it finds nothing is read before.
  const title = oneLine(document.querySelector("title")?.textContent);
  const body = textOf(document.body);
  const found = new Readability<Node>(document, { serializer: (node) => node }).parse();
  const text = found?.content ? textOf(found.content) : "";
  return { title: oneLine(found?.title) ?? title, text: text || body };
}

// linkedom takes the first element as the root, whichever it is.
function parse(html: string): Document {
  const whole = /<html[\s>]/i.test(html) ? html : `<!doctype html><html><body>${html}</body></html>`;
  return parseHTML(whole).document;
}

const oneLine = (text: string | null | undefined) => text?.replaceAll(/\s+/g, " ").trim() || null;
