// Formulas of a page as TeX, which Markdown has between dollar signs and models know. MathML, KaTeX, MathJax and Wikipedia.

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
    if (node.nodeType === 3) parts.push(node.nodeValue ?? "");
    for (let child = node.firstChild; child; child = child.nextSibling) add(child);
  };
  add(math);
  return parts.join("");
}
