// Writes the content of a page as GitHub Flavored Markdown. What of the content is written, and in which form, is decided in
// markdown-tree.ts; turndown writes it down, by the rules below.
import { createRequire } from "node:module";
import { markdownTree, type TreeOptions } from "./markdown-tree.ts";

type Rule = { filter: string | string[]; replacement(content: string, node: HTMLElement): string };
type Turndown = {
  turndown(node: Element): string;
  addRule(name: string, rule: Rule): void;
  escape(text: string): string;
};
// Its other build loads an HTML parser, which a tree does not need.
const TurndownService = createRequire(import.meta.url)("turndown/lib/turndown.browser.cjs.js") as new (
  options: Record<string, string>,
) => Turndown;

/** `url` makes links absolute. The heading that only repeats `title` is left out. */
export function markdownOf(content: Node, options: TreeOptions = {}): string {
  const markdown = service().turndown(markdownTree(content, options));
  return markdown.replaceAll(`!${LINK}`, "\\!").replaceAll(LINK, "");
}

/** Stands before each link until all is written: an exclamation mark there would make a picture of it. */
const LINK = "\u0002";

function service(): Turndown {
  const turndown = new TurndownService({ headingStyle: "atx", hr: "---" });
  // The words are escaped already.
  turndown.escape = (text) => text;
  for (const [filter, replacement] of Object.entries(RULES))
    turndown.addRule(filter, { filter: filter.split(","), replacement });
  return turndown;
}

const RULES: Record<string, Rule["replacement"]> = {
  p: (content, node) => (isTight(node.parentNode) ? `\n${content}\n` : `\n\n${content}\n\n`),
  "h1,h2,h3,h4,h5,h6": (content, node) =>
    `\n\n${"#".repeat(Number(node.nodeName[1]))} ${content.trim().replace(/(^|\s)(#+)$/, "$1\\$2")}\n\n`,
  br: (_, node) => (cellOf(node) ? "<br>" : "  \n"),
  "strong,em,del": (content, node) =>
    emphasized(content, node, { STRONG: "**", EM: "*", DEL: "~~" }[node.nodeName]!),
  a: (content, node) => (content.trim() === "" ? "" : `${LINK}[${content}](${node.getAttribute("href")})`),
  img: (_, node) => `![${node.getAttribute("alt")}](${node.getAttribute("src")})`,
  pre: (_, node) =>
    fence(
      (node.textContent ?? "").replaceAll(LONG_GAP, (gap) => gap.slice(0, MAX_GAP)),
      node.getAttribute("lang") ?? "",
    ),
  blockquote: (content) => `\n\n${trimmed(content).replaceAll(/^/gm, "> ").replaceAll(/^> $/gm, ">")}\n\n`,
  "ul,ol": (content, node) => (isTight(node.parentNode) ? `\n${content}\n` : `\n\n${content}\n\n`),
  li: (content, node) => {
    const marker = `${node.getAttribute("marker")} `;
    const item = indented(trimmed(content), " ".repeat(marker.length)).slice(marker.length);
    return `${marker}${item}${isTight(node) ? "\n" : "\n\n"}`;
  },
  "x-note": (content, node) =>
    `\n\n[^${node.getAttribute("note")}]: ${indented(trimmed(content), "    ").trimStart()}\n\n`,
  table: (content) => `\n\n${trimmed(content)}\n\n`,
  tr: (content, node) => {
    const border = node.previousSibling ? "" : `|${" --- |".repeat(node.childNodes.length)}\n`;
    return `|${content}\n${border}`;
  },
  td: (content) => ` ${content.trim()} |`,
};

/** turndown takes quadratic time for each row of white space, which only `pre` keeps. */
const MAX_GAP = 1_000;
const LONG_GAP = new RegExp(String.raw`\s{${MAX_GAP},}`, "g");

const trimmed = (content: string) => content.replace(/^\n+/, "").trimEnd();
const indented = (content: string, by: string) => content.replaceAll(/^(?=.)/gm, by);
const cellOf = (node: Element) => node.closest("td");

/** An item of one paragraph, and lists below it. Without empty lines between them it stays together. */
const isTight = (node: Node | null): boolean =>
  node?.nodeName === "LI" &&
  [...node.childNodes].every(
    ({ nodeName }, at) => (at === 0 && nodeName === "P") || nodeName === "UL" || nodeName === "OL",
  );

const FENCE = /^ {0,3}(`{3,})/gm;

function fence(code: string, language: string): string {
  const longest = [...code.matchAll(FENCE)].reduce((most, [, ticks]) => Math.max(most, ticks!.length), 2);
  const ticks = "`".repeat(longest + 1);
  return `\n\n${ticks}${language}\n${code}\n${ticks}\n\n`;
}

/**
 * Marks hold only where a reader can tell that they open and close something: `**“so”**and` is no emphasis. There, and directly
 * beside another mark, the words stay without it.
 */
function emphasized(content: string, node: Element, mark: string): string {
  const [before, after] = [characterBeside(node.previousSibling, -1), characterBeside(node.nextSibling, 0)];
  const opens = !isPunctuation(content[0]) || !isLetter(before);
  const closes = !isPunctuation(content.at(-1)) || !isLetter(after);
  const isBeside = isMark(node.previousSibling) || (isMark(node.parentNode) && isMark(node.nextSibling));
  const isUnclear = [before, after, content[0]!, content.at(-1)!].some((one) => /[*_~\\]/.test(one));
  return content.trim() === "" || !opens || !closes || isBeside || isUnclear
    ? content
    : `${mark}${content}${mark}`;
}

const characterBeside = (node: Node | null, at: number) => (node?.textContent ?? "").at(at) ?? " ";
const isMark = (node: Node | null) => /^(STRONG|EM|DEL)$/.test(node?.nodeName ?? "");
const isPunctuation = (character = "") => /[\p{P}\p{S}]/u.test(character);
const isLetter = (character: string) => !/[\s\p{P}\p{S}]/u.test(character);
