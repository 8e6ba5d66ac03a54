// What a page says of itself for machines: the items of its JSON-LD, and the schema.org types of its microdata. Reads what is damaged as
// far as it goes. What is made of them is left to others. Pure.
import { withoutReferences } from "../http/character-references.ts";

export type Item = Readonly<Record<string, unknown>>;

/** A page has a few of them. */
const MAX_ITEMS = 2_000;

/** Every object with a type, the outer ones before those in them. */
export function itemsIn(document: Document): Item[] {
  const found: Item[] = [];
  const waiting: unknown[] = [...document.querySelectorAll('script[type*="ld+json"]')].map(
    ({ textContent }) => parsed(textContent ?? ""),
  );
  while (waiting.length > 0 && found.length < MAX_ITEMS) {
    const value = waiting.shift();
    if (typeof value !== "object" || value === null) continue;
    if (typesOf(value as Item).length > 0) found.push(value as Item);
    waiting.push(...Object.values(value).filter((inner) => typeof inner === "object"));
  }
  return found;
}

function parsed(json: string): unknown {
  // Some write it into a comment or CDATA, and break lines within strings.
  const bare = json.replace(/^\s*(?:<!--|\/\*<!\[CDATA\[\*\/|<!\[CDATA\[|\/\/<!\[CDATA\[)/, "");
  const plain = bare
    .replace(/(?:-->|\/\*\]\]>\*\/|\/\/\]\]>|\]\]>)?[\s;]*$/, "")
    .replaceAll(/\p{Cc}+/gu, " ");
  try {
    return JSON.parse(plain);
  } catch {
    return null;
  }
}

/** Without the address of the vocabulary. */
export const typesOf = (item: Item): string[] =>
  [item["@type"]]
    .flat()
    .filter((type) => typeof type === "string")
    .map(nameOf);

const nameOf = (type: string) => type.replace(/^.*[/#:]/, "");

export const isOf = (item: Item, types: RegExp): boolean => typesOf(item).some((type) => types.test(type));

/** The types of the items in the page's elements, one for each element. */
export const elementTypes = (document: Document): string[] =>
  [...document.querySelectorAll("[itemtype]")].map((element) =>
    nameOf(element.getAttribute("itemtype") ?? ""),
  );

/** A text, or the name of whoever or whatever the value stands for; several joined. */
export function textIn(value: unknown): string | null {
  if (typeof value === "string") return lineOrNull(withoutReferences(value));
  if (Array.isArray(value))
    return (
      value
        .map(textIn)
        .filter((text) => text !== null)
        .join(", ") || null
    );
  if (typeof value !== "object" || value === null) return null;
  const { name, "@value": literal } = value as Item;
  return textIn(name ?? literal);
}

export const lineOrNull = (text: string | null | undefined): string | null =>
  text?.replaceAll(/\s+/g, " ").trim() || null;
