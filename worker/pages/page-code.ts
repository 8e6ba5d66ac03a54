// Code in a page: its lines without the numbers that stand beside them, and its language, as the usual highlighters mark them.

const TEXT_NODE = 3;
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
