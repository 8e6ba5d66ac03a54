// Markdown as a reader wants it, as far as Kamado's own reports use it: headings, paragraphs, quotes, lists in lists, emphasis, code in a
// line and links to the web. Everything else stays as it is written. All of it is text from outside, and escaped.
import { html } from "hono/html";
import { line, lines } from "./show.ts";
import type { Html } from "./view.ts";

const MAX = 400_000;
const HEADING = /^(#{1,6}) (.*)$/;
const ITEM = /^( *)(?:\d{1,9}[.)]|[-*+]) (.*)$/;
const INLINE =
  /\[((?:[^[\]\\\n]|\\.){0,2000})\]\(<(https?:[^<>\s]+)>\)|<(https?:[^<>\s]+)>|\*\*((?:[^*\\\n]|\\.){1,2000})\*\*|(?<!\\)`([^`\n]{1,300})`/g;

export const markdownView = (markdown: string): Html =>
  html`<div class="report">${lines(markdown.trim(), MAX)
    .split(/\n(?:[ \t]*\n)+/)
    .map(blockOf)}</div>`;

function blockOf(block: string): Html {
  const [, marks, title] = HEADING.exec(block) ?? [];
  if (marks !== undefined && title !== undefined)
    return marks.length === 1 ? html`<h3>${inline(title)}</h3>` : html`<h4>${inline(title)}</h4>`;
  const all = block.split("\n");
  if (all.every((one) => ITEM.test(one))) return listOf(all);
  if (all.every((one) => one.startsWith(">")))
    return html`<blockquote>${inline(all.map((one) => one.replace(/^> ?/, "")).join(" "))}</blockquote>`;
  return html`<p class="text">${inline(block)}</p>`;
}

/** Lines that are indented deeper than the one before them are a list in its item. */
function listOf(all: readonly string[]): Html {
  const depth = (one: string) => ITEM.exec(one)![1]!.length;
  const first = depth(all[0]!);
  const starts = all.flatMap((one, at) => (at === 0 || depth(one) <= first ? [at] : []));
  const items = starts.map((at, index) => {
    const inner = all.slice(at + 1, starts[index + 1]);
    return html`<li>${inline(ITEM.exec(all[at]!)![2]!)}${inner.length > 0 ? listOf(inner) : ""}</li>`;
  });
  return /^ *\d/.test(all[0]!) ? html`<ol>${items}</ol>` : html`<ul>${items}</ul>`;
}

function inline(text: string): Html {
  const pieces: (Html | string)[] = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, words, address, alone, strong, code] = match;
    pieces.push(plain(text.slice(end, match.index)));
    if (strong !== undefined) pieces.push(html`<b>${plain(strong)}</b>`);
    else if (code !== undefined) pieces.push(html`<code>${code}</code>`);
    else pieces.push(linkTo(address ?? alone!, words === undefined ? alone! : plain(words)));
    end = match.index + whole.length;
  }
  pieces.push(plain(text.slice(end)));
  return html`${pieces}`;
}

const linkTo = (address: string, words: string) =>
  html`<a href="${address}" rel="noreferrer nofollow" title="${line(address, 300)}">${words}</a>`;

const plain = (text: string): string => text.replaceAll(/\\([!-/:-@[-`{-~])/g, "$1");
