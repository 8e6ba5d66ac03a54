// The text between the tags of a page that no document is made of. Linear in the page's length, whatever it holds.
import { tidyLines } from "./layout.ts";

const TAG = /<[^<>]{0,2000}>/g;
const SILENT = /<(script|style|noscript)[\s>]/gi;
const LINE = "\u0000";

export function bareText(html: string): string {
  return tidyLines(withoutSilent(html).replaceAll(TAG, LINE), LINE);
}

function withoutSilent(html: string): string {
  const kept: string[] = [];
  let from = 0;
  for (const { 0: tag, 1: name, index } of html.matchAll(SILENT)) {
    if (index < from) continue;
    kept.push(html.slice(from, index));
    const closing = new RegExp(`</${name}`, "gi");
    closing.lastIndex = index + tag.length;
    // An element that never closes takes the rest with it, as in a browser.
    from = closing.exec(html)?.index ?? html.length;
  }
  return [...kept, html.slice(from)].join("");
}
