// `&amp;` and the other character references of HTML, in texts that come with them where no HTML is expected. Pure.
import { defaultTreeAdapter, html, parseFragment } from "parse5";

/** They are read as in a title, which holds no tags. */
export function withoutReferences(text: string): string {
  if (!text.includes("&")) return text;
  const title = defaultTreeAdapter.createElement("title", html.NS.HTML, []);
  const { childNodes } = parseFragment(title, text.replaceAll("<", "&lt;"), {});
  return childNodes.map((node) => ("value" in node ? node.value : "")).join("");
}
