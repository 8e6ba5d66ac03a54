// A page as a document, and the article found in it. Nothing of the page is run and nothing is fetched for it.
// Unbounded: article.ts says what may come here and for how long.
import { Readability } from "@mozilla/readability";
import { parseHTML } from "linkedom";
import type { Article } from "./article.ts";
import { textOf } from "./layout.ts";

export function readPage(html: string): Article {
  const document = parse(html);
  // Readability takes the document apart, so what it may not find is read before.
  const title = oneLine(document.querySelector("title")?.textContent);
  const body = textOf(document.body);
  const found = new Readability<Node>(document, { serializer: (node) => node }).parse();
  const text = found?.content ? textOf(found.content) : "";
  return { title: oneLine(found?.title) ?? title, text: text || body };
}

// linkedom takes the first element for the root, whatever it is.
function parse(html: string): Document {
  const whole = /<html[\s>]/i.test(html) ? html : `<!doctype html><html><body>${html}</body></html>`;
  return parseHTML(whole).document;
}

const oneLine = (text: string | null | undefined) => text?.replaceAll(/\s+/g, " ").trim() || null;
