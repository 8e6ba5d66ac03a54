// Links and pictures of a page as Markdown has them: which ones are kept, and under which address.

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
