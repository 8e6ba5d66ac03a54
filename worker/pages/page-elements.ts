// What single elements of a page are in Markdown: links and pictures with their addresses, code, formulas, headings, lists and terms. Owns
// how sites write them, and which of them say nothing. Where they stand in the page is left to markdown-tree.ts. Pure.

const TEXT_NODE = 3;

// ── Links and pictures ──

const FOLLOWED = /^(?:https?|mailto|tel|ftp):/i;

/** Absolute where the page's own address is known. `null` for what leads nowhere: scripts, data, places in a page without address. */
export function addressOf(href: string | null, base: string | undefined): string | null {
  const given = href?.trim() ?? "";
  if (given === "" || (given.startsWith("#") && (base === undefined || given === "#"))) return null;
  const address = URL.parse(given, base)?.href;
  if (address !== undefined) return FOLLOWED.test(address) ? safe(address) : null;
  // Relative, and nobody knows to what.
  return /^[a-z][a-z0-9+.-]*:/i.test(given) ? null : safe(given);
}

/** Without what ends an address in Markdown. */
const safe = (address: string) =>
  address.replaceAll(/[\s()<>\\|]/g, (one) =>
    encodeURIComponent(one).replace("(", "%28").replace(")", "%29"),
  );

/** Where pages keep the address of a picture that is loaded when somebody scrolls to it. */
const SOURCES = ["src", "data-src", "data-original", "data-lazy-src"];
const EMOJI = /^\p{Extended_Pictographic}(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\u200d|\ufe0f)*$/u;
/** Pixels. Smaller pictures count visitors or keep a distance. */
const SMALLEST = 3;

/** `null` for a picture that says nothing: without a text instead of it, or too small to be seen. Without `src`, it stands for a word. */
export function pictureOf(
  img: Element,
  base: string | undefined,
): { alt: string; src: string | null } | null {
  const alt = (img.getAttribute("alt") ?? "").replaceAll(/\s+/g, " ").trim();
  if (alt === "" || isFallback(img)) return null;
  if (EMOJI.test(alt)) return { alt, src: null };
  const isTiny = ["width", "height"].some(
    (side) => Number.parseFloat(img.getAttribute(side) ?? "") < SMALLEST,
  );
  if (isTiny) return null;
  const src = SOURCES.map((name) => addressOf(img.getAttribute(name), base)).find((one) => one !== null);
  return src === undefined ? null : { alt, src };
}

/** The picture of a formula that is there as text too. */
const isFallback = (img: Element) => /\bmwe-math-fallback/.test(img.getAttribute("class") ?? "");

// ── Code ──

const LINE_NUMBER =
  /(?:^|\s)(?:linenos?|line-?numbers?(?:-rows)?|gutter|hljs-ln-numbers|lnt?|rouge-gutter|blob-num)(?:\s|$)/i;
const LINE = /^(DIV|P|LI|TR)$/;
const NO_CODE = /^(BUTTON|SCRIPT|STYLE|TEMPLATE|SVG)$/;

/** A table that only puts the numbers of lines beside a block of code. */
export const isCodeTable = (element: Element, name: string): boolean =>
  name === "TABLE" &&
  element.querySelector("td.code pre, td.rouge-code pre, td.blob-code, td.hljs-ln-code") !== null;

export function codeOf(root: Element): string {
  const pieces: string[] = [];
  const startLine = () => {
    if (pieces.length > 0 && !pieces.at(-1)!.endsWith("\n")) pieces.push("\n");
  };
  const add = (node: Node) => {
    if (node.nodeType === TEXT_NODE && node.nodeValue) pieces.push(node.nodeValue);
    const name = node.nodeName.toUpperCase();
    if (name === "BR") pieces.push("\n");
    if (NO_CODE.test(name) || isLineNumber(node)) return;
    if (LINE.test(name)) startLine();
    for (let child = node.firstChild; child; child = child.nextSibling) add(child);
    if (LINE.test(name)) startLine();
  };
  add(root);
  return pieces.join("").replaceAll(/\r\n?/g, "\n");
}

const isLineNumber = (node: Node) => LINE_NUMBER.test((node as Element).getAttribute?.("class") ?? "");

const LANGUAGE = [
  /(?:^|\s)(?:language|lang|highlight-source|highlight-text)-([\w+#.-]+)/i,
  /(?:^|\s)brush:\s*([\w+#.-]+)/i,
  /(?:^|\s)highlight-(?!wrapper|default|box)([\w+#]+)(?=\s|$)/i,
  /(?:^|\s)(?:hljs|sourceCode|prettyprint|code|highlight|src)\s+(?:src-)?([a-z][\w+#]*)(?=\s|$)/i,
];
const NONE =
  /^(none|text|txt|plain|plaintext|nohighlight|linenums|hljs|notranslate|copy|wrap|numberLines|literal.*)$/i;

/** As the element, the code in it, or one of the two around it names it. Empty where none does. */
export function languageOf(element: Element): string {
  const around = [
    element.querySelector("code"),
    element,
    element.parentElement,
    element.parentElement?.parentElement,
  ];
  for (const one of around) {
    if (!one) continue;
    const said = one.getAttribute("data-lang") ?? one.getAttribute("data-language");
    const className = one.getAttribute("class") ?? "";
    const found =
      said ?? LANGUAGE.map((pattern) => pattern.exec(className)?.[1]).find((name) => name !== undefined);
    if (found && /^[\w+#.-]{1,30}$/.test(found)) return NONE.test(found) ? "" : found.toLowerCase();
  }
  return "";
}

// ── Formulas: TeX between dollar signs, which models know. Of MathML, KaTeX, MathJax and Wikipedia ──

const NOISE = /(?:^|\s)(?:katex-html|MathJax|MathJax_Preview|MathJax_Display|mjx-chtml)(?:\s|$)/;

/** Also for what shows a formula a second time, of which nothing is to be written. */
export function isFormula(element: Element, name: string): boolean {
  if (name === "MATH") return true;
  if (name === "SCRIPT") return /^math\/tex/i.test(element.getAttribute("type") ?? "");
  return NOISE.test(element.getAttribute("class") ?? "");
}

export function texOf(element: Element): string {
  const name = element.nodeName.toUpperCase();
  if (name === "SCRIPT") return dollars(element.textContent, /display/.test(element.getAttribute("type")!));
  if (name !== "MATH") return "";
  const source = [...element.querySelectorAll("annotation")].find((one) =>
    /tex/i.test(one.getAttribute("encoding") ?? ""),
  );
  const tex = source?.textContent ?? element.getAttribute("alttext");
  return dollars(tex ?? withoutAnnotations(element), element.getAttribute("display") === "block");
}

function dollars(tex: string | null, isBlock: boolean): string {
  const line = (tex ?? "").replaceAll(/\s+/g, " ").trim();
  if (line === "") return "";
  return isBlock ? `$$${line}$$` : `$${line}$`;
}

function withoutAnnotations(math: Element): string {
  const parts: string[] = [];
  const add = (node: Node) => {
    if (/^annotation/i.test(node.nodeName)) return;
    if (node.nodeType === TEXT_NODE) parts.push(node.nodeValue ?? "");
    for (let child = node.firstChild; child; child = child.nextSibling) add(child);
  };
  add(math);
  return parts.join("");
}

// ── Headings, raised letters, lists ──

export function headingLevel(element: Element, name: string): number | null {
  if (/^H[1-6]$/.test(name)) return Number(name[1]);
  if (element.getAttribute("role") !== "heading") return null;
  const level = Number(element.getAttribute("aria-level") ?? 2);
  return level >= 1 && level <= 6 ? level : 2;
}

const RAISED: Record<"SUP" | "SUB", string> = { SUP: "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", SUB: "₀₁₂₃₄₅₆₇₈₉₊₋ₙ" };
const RAISABLE = "0123456789+-n";

export function raisedText(text: string, name: "SUP" | "SUB"): string | null {
  if (!/^[+-]?\d{1,3}[+-]?$|^n$/.test(text.replaceAll("−", "-"))) return null;
  return [...text.replaceAll("−", "-")].map((one) => RAISED[name][RAISABLE.indexOf(one)]).join("");
}

export function numbering(list: Element): { next: number; step: number } {
  const start = list.getAttribute("start") ?? "";
  const isReversed = list.hasAttribute("reversed");
  const first = /^\s*\d{1,9}\s*$/.test(start) ? Number(start) : isReversed ? list.children.length : 1;
  return { next: first, step: isReversed ? -1 : 1 };
}

type Terms = { terms: Element[]; details: Element[] };

/** Terms and what they mean, also where they stand in a `div` together. */
export function termsIn(list: Element): Terms[] {
  const groups: Terms[] = [];
  const parts = [...list.children].flatMap((child) =>
    child.nodeName === "DIV" ? [...child.children] : child,
  );
  for (const part of parts) {
    const last = groups.at(-1);
    const isTerm = part.nodeName === "DT";
    const group = last && !(isTerm && last.details.length > 0) ? last : { terms: [], details: [] };
    if (group !== last) groups.push(group);
    (isTerm ? group.terms : group.details).push(part);
  }
  return groups;
}
