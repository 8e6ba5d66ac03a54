// Footnotes of a page: which raised numbers refer to which notes, and which links in the notes only lead back.

export type Footnotes = {
  /** The name of the note to which an element refers. */
  references: ReadonlyMap<Node, string>;
  notes: ReadonlyMap<Node, string>;
  /** What leads back from a note to its reference. */
  left: ReadonlySet<Node>;
};

const REFERENCE = /(?:^|[\s_-])(?:footnote-?ref|fn-?ref|noteref|doc-noteref|reference|footnote)(?:$|[\s_-])/i;
const LABEL = /^[\s[(]*([0-9]{1,4}|[a-z]|[*†‡§]{1,2})[\s\])]*$/i;
const NOTE = /^(LI|P|DIV|ASIDE|DD)$/;
const LEADS_BACK = /^(?:[\s^]|\p{So}|\p{Sm}|\ufe0e|\ufe0f)*(?:\w|back)?$/iu;

export function footnotesIn(content: Node): Footnotes {
  const references = new Map<Node, string>();
  const notes = new Map<Node, string>();
  const left = new Set<Node>();
  const links = [...((content as Element).querySelectorAll?.('a[href^="#"]') ?? [])];
  if (links.length === 0) return { references, notes, left };
  const byId = new Map([...(content as Element).querySelectorAll("[id]")].map((one) => [one.id, one]));
  for (const link of links) {
    const target = byId.get(idIn(link));
    const label = LABEL.exec(link.textContent ?? "")?.[1];
    if (target === undefined || label === undefined || !NOTE.test(target.nodeName) || target.contains(link))
      continue;
    const sup = link.closest("sup");
    if (!sup && !REFERENCE.test(`${link.className} ${link.getAttribute("role") ?? ""}`)) continue;
    const name =
      notes.get(target) ??
      (/^\w+$/.test(label) && ![...notes.values()].includes(label) ? label : `${notes.size + 1}`);
    notes.set(target, name);
    references.set(sup && sup.textContent?.trim() === link.textContent?.trim() ? sup : link, name);
  }
  const isReference = (id: string) => byId.has(id);
  for (const note of notes.keys())
    for (const link of (note as Element).querySelectorAll('a[href^="#"]'))
      if (isReference(idIn(link)) && LEADS_BACK.test(link.textContent ?? "")) left.add(link);
  return { references, notes, left };
}

function idIn(link: Element): string {
  const id = (link.getAttribute("href") ?? "").slice(1);
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
