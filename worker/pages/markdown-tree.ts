// The content of a page in a regular form that Markdown can hold: paragraphs of words and marks, lists of items, tables of equal rows.
// Owns what is left out on the way, and where words must be escaped. How it is written down is left to to-markdown.ts. Takes steps in
// proportion to the content.
import { escapeMarkdown } from "./escape-markdown.ts";
import { type Footnotes, footnotesIn } from "./footnotes.ts";
import {
  addressOf,
  codeOf,
  headingLevel,
  isCodeTable,
  isFormula,
  languageOf,
  numbering,
  pictureOf,
  raisedText,
  termsIn,
  texOf,
} from "./page-elements.ts";
import { type Grid, gridOf } from "./page-table.ts";
import { isTitle } from "./page-title.ts";
import { lineTest, SILENT, UNSEEN } from "./plain-text.ts";

export type TreeOptions = { url?: string | undefined; title?: string | null | undefined };

export function markdownTree(content: Node, options: TreeOptions): Element {
  const builder = new TreeBuilder(content, options);
  builder.visitChildren(content);
  return builder.finish();
}

type Mark = { name: string; attributes: Record<string, string>; element: Element | null };
const mark = (name: string, attributes: Record<string, string> = {}): Mark => ({
  name,
  attributes,
  element: null,
});

const MARKS: Record<string, string> = {
  B: "strong",
  STRONG: "strong",
  I: "em",
  EM: "em",
  DEL: "del",
  S: "del",
  STRIKE: "del",
};
const CODE = /^(CODE|KBD|SAMP|TT)$/;
const LIST = /^(UL|OL|MENU|DIR)$/;
/** "Warning" above what is warned of. */
const NOTICE_TITLE = /(?:^|\s)(?:admonition|callout|alert|notice)-?(?:title|heading)(?:\s|$)/i;
/** What is nested deeper stands beside what contains it. */
const MAX_DEPTH = 30;
const TEXT_NODE = 3;
const ELEMENT_NODE = 1;

class TreeBuilder {
  readonly #document: Document;
  readonly #options: TreeOptions;
  readonly #isLine = lineTest();
  readonly #footnotes: Footnotes;
  readonly #root: Element;
  readonly #numbers = new Map<Element, { next: number; step: number }>();
  #container: Element;
  #depth = 0;
  /** The element that the next words begin, and the one to which they go. */
  #blockName = "p";
  #block: Element | null = null;
  #marks: Mark[] = [];
  /** Words that are not in the tree yet. They are escaped together, because what one means depends on the next. */
  #words = "";
  #isLineStart = true;
  /** The next words stand on another line of the same block. */
  #hasBreak = false;
  #inCell = false;
  #inHeading = false;
  /** The next block goes on where the words are: the explanation behind its term. */
  #isHeld = false;
  #titleIsDue: boolean;

  constructor(content: Node, options: TreeOptions) {
    this.#document = content.ownerDocument ?? (content as Document);
    this.#options = options;
    this.#footnotes = footnotesIn(content);
    this.#titleIsDue = Boolean(options.title);
    this.#root = this.#container = this.#document.createElement("div");
  }

  finish(): Element {
    this.#endBlock();
    return this.#root;
  }

  visitChildren(node: Node): void {
    for (let child = node.firstChild; child; child = child.nextSibling) this.#visit(child);
  }

  #visit(node: Node): void {
    if (node.nodeType === TEXT_NODE) this.#addWords(node.nodeValue ?? "");
    if (node.nodeType !== ELEMENT_NODE) return;
    const element = node as Element;
    const name = element.nodeName.toUpperCase();
    if (isFormula(element, name)) this.#addLiteral(texOf(element));
    else if (name === "INPUT") this.#addCheckbox(element);
    else if (!SILENT.test(name) && !this.#footnotes.left.has(element)) this.#visitShown(element, name);
  }

  #visitShown(element: Element, name: string): void {
    const note = this.#footnotes.references.get(element);
    if (note !== undefined) this.#addLiteral(`[^${note}]`);
    else if (name === "BR") this.#addBreak();
    else if (name === "IMG") this.#addPicture(element);
    else if (name === "SUP" || name === "SUB") this.#addRaised(element, name);
    else if (CODE.test(name) && !element.querySelector("pre")) this.#addCode(element);
    else if (name === "A") this.#addLink(element);
    else if (name in MARKS) this.#withMark(mark(MARKS[name]!), element);
    else this.#visitBlock(element, name);
  }

  #visitBlock(element: Element, name: string): void {
    const level = headingLevel(element, name);
    if (level !== null && !this.#inCell && !this.#inHeading) this.#addHeading(element, level);
    else if (this.#inCell || this.#inHeading) this.#visitInCell(element, name);
    else if (this.#footnotes.notes.has(element)) this.#addFootnote(element);
    else if (name === "HR") this.#addRule();
    else if (name === "PRE" || isCodeTable(element, name)) this.#addFence(element);
    else if (name === "TABLE") this.#addTable(element);
    else if (name === "BLOCKQUOTE") this.#within("blockquote", () => this.visitChildren(element));
    else if (LIST.test(name)) this.#addList(element, name);
    else if (name === "LI") this.#addItem(element);
    else if (name === "DL") this.#addTerms(element);
    else if (name === "FIGCAPTION") this.#addMarkedBlock(element, "em");
    else if (name === "SUMMARY" || NOTICE_TITLE.test(element.getAttribute("class") ?? ""))
      this.#addMarkedBlock(element, "strong");
    else this.#visitPlain(element, name);
  }

  #visitInCell(element: Element, name: string): void {
    if (name === "LI") this.#addCellItem(element);
    else this.#visitPlain(element, name);
  }

  #addCellItem(element: Element): void {
    this.#endBlock();
    const list = element.parentNode?.nodeName.toUpperCase();
    this.#words += this.#inHeading || list === "OL" ? "" : "• ";
    this.visitChildren(element);
    this.#endBlock();
  }

  #visitPlain(element: Element, name: string): void {
    const isLine = this.#isLine(element);
    if (isLine) this.#endBlock();
    // Cells of a table that only arranges what it contains.
    else if (name === "TD" || name === "TH") this.#addWords(" ");
    this.visitChildren(element);
    if (isLine) this.#endBlock();
  }

  // Words

  #addWords(text: string): void {
    const words = text.replaceAll(UNSEEN, "").replaceAll(/\s+/g, " ");
    const isBlank = words === "" || words === " ";
    if (isBlank && (words === "" || this.#words.endsWith(" "))) return;
    this.#words += words;
    if (!isBlank) this.#isHeld = false;
  }

  /** What is Markdown already. */
  #addLiteral(markdown: string): void {
    if (markdown === "") return;
    this.#flush();
    this.#target().appendChild(this.#document.createTextNode(markdown));
    this.#isHeld = this.#isLineStart = false;
  }

  #addCheckbox(input: Element): void {
    if (input.getAttribute("type") !== "checkbox" || !input.closest("li") || !this.#isLineStart) return;
    this.#addLiteral(input.hasAttribute("checked") ? "[x] " : "[ ] ");
  }

  #flush(goesOn = true): void {
    const text = this.#isLineStart || this.#hasBreak ? this.#words.trimStart() : this.#words;
    this.#words = "";
    if (text === "" || (text === " " && !this.#block)) return;
    // A mark begins with its first word.
    const target = text === " " ? this.#made() : this.#target();
    const inLink = this.#marks.some(({ name }) => name === "a");
    const escaped = escapeMarkdown(text, {
      lineStart: this.#isLineStart,
      inLink,
      inCell: this.#inCell,
      goesOn,
    });
    target.appendChild(this.#document.createTextNode(escaped));
    if (text !== " ") this.#isLineStart = false;
  }

  /** The innermost element for words. A mark that contains the end of a block is made again in the next one. */
  #target(): Element {
    if (this.#hasBreak && !this.#isLineStart) {
      // Before a mark that begins with it.
      this.#appendTo(this.#made(), "br");
      this.#isLineStart = true;
    }
    this.#hasBreak = false;
    return this.#innermost();
  }

  #made(): Element {
    return this.#marks.findLast(({ element }) => element)?.element ?? this.#block!;
  }

  #innermost(): Element {
    this.#block ??= this.#inCell
      ? this.#container
      : this.#appendTo(this.#itemOf(this.#container), this.#blockName);
    let target = this.#block;
    for (const one of this.#marks) {
      one.element ??= this.#appendTo(target, one.name, one.attributes);
      target = one.element;
    }
    return target;
  }

  /** Where a block goes: in a list it needs an item. */
  #itemOf(container: Element): Element {
    if (container.nodeName !== "UL" && container.nodeName !== "OL") return container;
    return container.lastElementChild ?? this.#appendTo(container, "li", this.#markerIn(container));
  }

  #appendTo(parent: Element, name: string, attributes: Record<string, string> = {}): Element {
    const element = this.#document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.appendChild(element);
    return element;
  }

  #addBreak(): void {
    if (!this.#inHeading) this.#flush();
    if (this.#inHeading) this.#addWords(" ");
    else if (this.#hasBreak && !this.#inCell) this.#endBlock();
    else if (!this.#isLineStart) this.#hasBreak = true;
  }

  #endBlock(): void {
    if (this.#isHeld) return;
    if (!this.#inHeading) this.#flush(false);
    if (this.#inHeading) this.#addWords(" ");
    else if (this.#inCell) this.#hasBreak = !this.#isLineStart;
    else this.#startBlock();
  }

  #startBlock(): void {
    // One link is enough for a card of several paragraphs.
    this.#marks = this.#marks.filter(({ name, element }) => name !== "a" || element === null);
    for (const one of this.#marks) one.element = null;
    this.#block = null;
    this.#isLineStart = true;
    this.#hasBreak = false;
  }

  // Marks

  #withMark(one: Mark, element: Element): void {
    // Of marks within one another, a reader of Markdown often finds the wrong ends.
    const isSet = this.#marks.some(({ name }) => name === one.name || (name !== "a" && one.name !== "a"));
    const isLost = isSet || (this.#inHeading && one.name === "strong");
    if (!isLost) {
      this.#flush();
      this.#marks.push(one);
    }
    this.visitChildren(element);
    if (isLost) return;
    this.#flush();
    this.#marks = this.#marks.filter((other) => other !== one);
  }

  #addLink(link: Element): void {
    const href = addressOf(link.getAttribute("href"), this.#options.url);
    if (this.#inHeading && /^[\s#¶§🔗]*$/u.test(link.textContent ?? "") && !link.querySelector("img")) return;
    if (href === null) this.visitChildren(link);
    else this.#withMark(mark("a", { href }), link);
  }

  #addCode(element: Element): void {
    const text = codeOf(element).replaceAll(/\s+/g, " ").trim();
    if (text === "") return;
    this.#flush();
    const code = this.#appendTo(this.#target(), "code");
    code.textContent = this.#inCell ? text.replaceAll("|", "\\|") : text;
    this.#isHeld = this.#isLineStart = false;
  }

  #addRaised(element: Element, name: "SUP" | "SUB"): void {
    const raised = raisedText((element.textContent ?? "").trim(), name);
    if (raised === null) this.visitChildren(element);
    else this.#addWords(raised);
  }

  #addPicture(img: Element): void {
    const picture = pictureOf(img, this.#options.url);
    if (picture === null) return;
    if (picture.src === null) this.#addWords(picture.alt);
    else this.#appendPicture(picture.alt, picture.src);
  }

  #appendPicture(alt: string, src: string): void {
    this.#flush();
    const safe = escapeMarkdown(alt, { inLink: true, inCell: this.#inCell });
    this.#appendTo(this.#target(), "img", { alt: safe, src });
    this.#isHeld = this.#isLineStart = false;
  }

  // Blocks

  #within(name: string, fill: () => void, attributes: Record<string, string> = {}): void {
    this.#isHeld = false;
    this.#endBlock();
    if (this.#depth < MAX_DEPTH) this.#fill(name, fill, attributes);
    else fill();
  }

  #fill(name: string, fill: () => void, attributes: Record<string, string>): void {
    const outer = this.#container;
    this.#container = this.#appendTo(name === "li" ? outer : this.#itemOf(outer), name, attributes);
    this.#depth += 1;
    fill();
    this.#isHeld = false;
    this.#endBlock();
    this.#depth -= 1;
    if (!this.#container.firstChild) this.#container.remove();
    this.#container = outer;
  }

  #addHeading(element: Element, level: number): void {
    this.#isHeld = false;
    this.#endBlock();
    if (this.#titleIsDue && isTitle(element.textContent ?? "", this.#options.title!)) {
      this.#titleIsDue = false;
      return;
    }
    this.#blockName = `h${level}`;
    this.#inHeading = true;
    this.visitChildren(element);
    this.#inHeading = false;
    this.#endBlock();
    this.#blockName = "p";
  }

  #addRule(): void {
    this.#isHeld = false;
    this.#endBlock();
    this.#appendTo(this.#itemOf(this.#container), "hr");
  }

  #addFence(element: Element): void {
    this.#isHeld = false;
    this.#endBlock();
    const code = codeOf(element)
      .replace(/^(?:[^\S\n]*\n)+/, "")
      .trimEnd();
    if (code === "") return;
    const pre = this.#appendTo(this.#itemOf(this.#container), "pre", { lang: languageOf(element) });
    pre.textContent = code;
  }

  #addMarkedBlock(element: Element, name: string): void {
    this.#endBlock();
    this.#withMark(mark(name), element);
    this.#endBlock();
  }

  #addFootnote(element: Element): void {
    const attributes = { note: this.#footnotes.notes.get(element)! };
    this.#within("x-note", () => this.visitChildren(element), attributes);
  }

  #addList(element: Element, name: string): void {
    const first = element.firstElementChild;
    if (first && this.#footnotes.notes.has(first)) this.visitChildren(element);
    else this.#addItems(element, name);
  }

  #addItems(element: Element, name: string): void {
    this.#within(name === "OL" ? "ol" : "ul", () => {
      this.#numbers.set(this.#container, numbering(element));
      this.visitChildren(element);
    });
  }

  #addItem(element: Element): void {
    const isList = this.#container.nodeName === "UL" || this.#container.nodeName === "OL";
    const fill = () => this.visitChildren(element);
    if (isList) this.#within("li", fill, this.#markerIn(this.#container, element.getAttribute("value")));
    else this.#addLooseItem(fill);
  }

  /** An item that is in no list goes on with those before it. */
  #addLooseItem(fill: () => void): void {
    this.#endBlock();
    const last = this.#container.lastElementChild;
    if (!last?.hasAttribute("implied"))
      return void this.#within("ul", () => this.#within("li", fill, { marker: "-" }), { implied: "" });
    const outer = this.#container;
    this.#container = last;
    this.#within("li", fill, { marker: "-" });
    this.#container = outer;
  }

  #markerIn(list: Element, value: string | null = null): { marker: string } {
    const numbers = this.#numbers.get(list);
    if (list.nodeName === "UL" || numbers === undefined) return { marker: "-" };
    const number = value !== null && /^\d{1,9}$/.test(value) ? Number(value) : numbers.next;
    numbers.next = number + numbers.step;
    return { marker: `${Math.max(0, number)}.` };
  }

  /** Markdown has no lists of terms. An item says the term, and behind it what it means. */
  #addTerms(list: Element): void {
    this.#within("ul", () => {
      for (const { terms, details } of termsIn(list))
        this.#within("li", () => this.#addTerm(terms, details), { marker: "-" });
    });
  }

  #addTerm(terms: readonly Element[], details: readonly Element[]): void {
    this.#isHeld = true;
    for (const [at, term] of terms.entries()) {
      if (at > 0) this.#words += ", ";
      this.#isHeld = true;
      this.#withMark(mark("strong"), term);
      this.#isHeld = true;
    }
    if (terms.length > 0 && details.length > 0) this.#words += ": ";
    if (details.length > 1) {
      const item = (detail: Element) => this.#within("li", () => this.visitChildren(detail), { marker: "-" });
      this.#within("ul", () => details.forEach(item));
    } else for (const detail of details) this.visitChildren(detail);
    this.#isHeld = false;
  }

  #addTable(element: Element): void {
    const grid = gridOf(element);
    if (grid === null) this.#visitPlain(element, "TABLE");
    else this.#addGrid(grid);
  }

  #addGrid(grid: Grid): void {
    this.#isHeld = false;
    for (const caption of grid.captions) this.#addMarkedBlock(caption, "em");
    this.#within("table", () => {
      const table = this.#container;
      if (!grid.hasHeader) this.#addRow(table, Array(grid.columns).fill(null));
      for (const row of grid.rows) this.#addRow(table, row);
      this.#container = table;
    });
  }

  #addRow(table: Element, cells: readonly (Element | null)[]): void {
    const row = this.#appendTo(table, "tr");
    this.#inCell = true;
    for (const cell of cells) {
      this.#container = this.#appendTo(row, "td");
      this.#block = null;
      this.#isLineStart = true;
      if (cell) this.visitChildren(cell);
      this.#flush();
      this.#hasBreak = false;
      for (const one of this.#marks) one.element = null;
    }
    this.#inCell = false;
    this.#block = null;
    this.#isLineStart = true;
  }
}
