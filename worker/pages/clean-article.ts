// The article in a page, without what stands around and between its paragraphs. Owns which part that is and what is dropped from it, each
// by a rule of its own. What of it becomes text or Markdown, and pages that are no articles, are left to others. Pure.
import { Readability } from "@mozilla/readability";
import { lineOrNull } from "./structured-data.ts";

export type Found = { content: Element; title: string | null; byline: string | null; site: string | null };

/** Takes the document apart. `null` where Readability finds nothing. */
export function articleIn(document: Document): Found | null {
  const bodies = namedBodies(document);
  nameParagraphs(document);
  const found = new Readability<Node>(document, { keepClasses: true, serializer: (node) => node }).parse();
  if (!found?.content) return null;
  const { title, byline, siteName } = found;
  const content = withoutClutter(found.content as Element, bodies);
  return { content, title: lineOrNull(title), byline: lineOrNull(byline), site: lineOrNull(siteName) };
}

/** The order counts: what is dropped before Readability has chosen changes what it chooses. */
function withoutClutter(chosen: Element, bodies: readonly Element[]): Element {
  dropClutter(chosen);
  const content = namedBodyLike(chosen, bodies);
  if (content !== chosen) dropClutter(content);
  dropSurroundings(content);
  return content;
}

function dropClutter(content: Element): void {
  dropHidden(content);
  nameCaptions(content);
  dropNamed(content);
  dropLinkBlocks(content);
}

// --- What nobody sees

const HIDING_STYLE = /(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)/i;

export const isHidden = (element: Element): boolean =>
  element.hasAttribute("hidden") ||
  HIDING_STYLE.test(element.getAttribute("style") ?? "") ||
  element.getAttribute("aria-hidden") === "true";

export function dropHidden(content: Element): void {
  for (const element of outermost(content, isHidden)) element.remove();
}

// --- Rule: names of classes and ids that say what an element is

/** Words of a name. */
const CLUTTER =
  /^(?:ads?|advert\w*|adsense|adslot|adunit|affiliate|author|banner|biography|bio|breadcrumbs?|button|buttons|byline|byl|carousel|comments?|commentlist|consent|contributors?|cookies?|copyright|credit|credits|criteo|dateline|disclaimer|disqus|donate|embed|embedded|flyout|follow|footer|\w*gallery|galleries|gdpr|hidden|infobox|infoline|jp|latest|login|masthead|menu|meta|metadata|modal|mostread|nav|navbar|navigation|newsletter|newsletters|noprint|outbrain|overlay|pager|pagination|paywall|permalink|playlist|popular|popup|posted|print|prev|promo|promos|promoted|promotion|rating|ratings|readmore|recirc|recirculation|recommend|recommended|recommendations|recommends|related|relatedlinks|relatedposts|relateds|reply|respond|rss|share|shared|sharebar|sharedaddy|shares|sharethis|sharing|sidebar|signin|signup|skip|slideshow|sociable|social|socials|sponsor|sponsored|sponsors|subscribe|subscription|syndication|taboola|taglist|tags|teaser|teasers|timestamp|toc|toolbar|tooltip|trending|tweet|upsell|viral|widget|widgets|zergnet)$/;
/** Runs of words. */
const CLUTTER_RUN =
  /(?:^|-)(?:post-date|entry-date|publish(?:ed)?-date|date-published|most-(?:read|viewed|shared)|read-(?:also|next)|see-also|also-(?:read|on)|sign-(?:in|up)|top-stories|more-(?:from|on|stories|news)|sr-only|screen-reader(?:-\w+)?|visually-hidden|tag-(?:list|links|cloud)|cat-links|user-(?:info|profile)|call-to-action|cta|skip-link|slide-?count|inline-video|video-player|next-(?:up|post|article)|side-stories)(?:-|$)/;

/** Layout, not what the element itself is. */
const LAYOUT = /^(?:has|with|no|without|is|hide|js|col|row|wp|elementor|theme)-/;

const AROUND = "data-around";

/** Readability puts a paragraph in the place of the element that holds nothing else, whose name would be lost. */
function nameParagraphs(document: Document): void {
  for (const paragraph of document.querySelectorAll("div > p")) {
    const { parentElement: parent } = paragraph;
    const isAlone = parent?.firstElementChild === paragraph && parent.lastElementChild === paragraph;
    if (isAlone) paragraph.setAttribute(AROUND, `${parent.getAttribute("class") ?? ""} ${parent.id}`);
  }
}

export const namesOf = (element: Element): string[] =>
  ["class", "id", AROUND]
    .map((name) => element.getAttribute(name) ?? "")
    .join(" ")
    .replaceAll(/([a-z\d])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .replaceAll(/[_:.]+/g, "-")
    .split(/\s+/)
    .filter((name) => name !== "");

function isClutterName(name: string, words?: RegExp): boolean {
  if (LAYOUT.test(name)) return false;
  if (words) return name.split("-").some((word) => words.test(word));
  return name.split("-").some((word) => CLUTTER.test(word)) || CLUTTER_RUN.test(name);
}

/** In code, the highlighters' names are not about the page. */
const OPAQUE = /^(?:PRE|CODE|MATH|SVG|TABLE|BLOCKQUOTE)$/;

/** `words`: others than those that say it in an article. */
export const dropNamed = (content: Element, words?: RegExp): void =>
  drop(
    content,
    (element) =>
      !OPAQUE.test(element.nodeName) && namesOf(element).some((name) => isClutterName(name, words)),
  );

// --- Rule: what stands under a picture is a caption, whatever its element

const CAPTION = /(?:^|-)captions?(?:-|$)/;

function nameCaptions(content: Element): void {
  const { of } = measure(content);
  const half = of(content).length / 2;
  const captions = outermost(
    content,
    (element) =>
      element.nodeName !== "FIGCAPTION" &&
      of(element).length < half &&
      namesOf(element).some((name) => CAPTION.test(name)),
  );
  for (const element of captions) {
    const caption = element.ownerDocument.createElement("figcaption");
    caption.append(...element.childNodes);
    element.replaceWith(caption);
  }
}

// --- Rule: blocks that are mostly links

const BLOCKS = /^(?:DIV|SECTION|UL|OL|DL|P|TABLE|ARTICLE)$/;
const MAX_LINK_DENSITY = 0.7;
const MAX_LINK_BLOCK = 1_500;

const dropLinkBlocks = (content: Element): void =>
  drop(content, ({ nodeName }, { length, linked }) => {
    if (!BLOCKS.test(nodeName) || length === 0 || length >= MAX_LINK_BLOCK) return false;
    return linked / length > MAX_LINK_DENSITY;
  });

// --- Rule: the element that the page itself names as the article's body

const BODY_PLACES = /^(?:ARTICLE|DIV|MAIN|SECTION|SPAN|TD)$/;
const BODY_NAMES = [
  /^(?:articlebody|article-body)$/,
  /^(?:story-body|story-content|storytext)$/,
  /^(?:post|entry|article)-(?:body|content)$/,
  /^(?:body-copy|article-text|article-copy|content-body|field-name-body|td-post-content)$/,
];
const LONG_PARAGRAPH = 80;
const AGREEMENT = 0.15;

/** Copies of them, the clearest name first. */
function namedBodies(document: Document): Element[] {
  const ranked: { element: Element; rank: number }[] = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (!BODY_PLACES.test(element.nodeName)) continue;
    const rank = bodyRank(element);
    if (rank >= 0 && ranked.length < MAX_BODIES) ranked.push({ element, rank });
  }
  return ranked.toSorted((a, b) => a.rank - b.rank).map(({ element }) => element.cloneNode(true) as Element);
}
/** More of them are no article's. */
const MAX_BODIES = 20;

function bodyRank(element: Element): number {
  if (element.getAttribute("itemprop") === "articleBody") return 0;
  if (!/body|content|copy|text/i.test(`${element.getAttribute("class")} ${element.id}`)) return -1;
  const names = namesOf(element).map((name) => name.replaceAll(/-+/g, "-"));
  return BODY_NAMES.findIndex((pattern) => names.some((name) => pattern.test(name)));
}

/** Readability's choice where there is none that agrees with it. */
function namedBodyLike(chosen: Element, bodies: readonly Element[]): Element {
  const length = longParagraphs(chosen);
  const agrees = (body: Element) => Math.abs(longParagraphs(body) - length) <= AGREEMENT * length;
  return bodies.find(agrees) ?? chosen;
}

function longParagraphs(content: Element): number {
  let total = 0;
  for (const paragraph of content.querySelectorAll("p")) {
    const { length } = squeeze(paragraph.textContent ?? "");
    if (length >= LONG_PARAGRAPH) total += length;
  }
  return total;
}

// --- Rule: elements that stand around an article's text

const SURROUNDING = /^(?:ASIDE|FOOTER|FORM|HEADER|NAV)$/;

/** An aside that the text refers to. */
const NOTE = /(?:^|-)(?:admonition|callout|caution|hint|important|note|tip|warning)(?:-|$)/;

const dropSurroundings = (content: Element): void =>
  drop(
    content,
    (element) => SURROUNDING.test(element.nodeName) && !namesOf(element).some((name) => NOTE.test(name)),
  );

// --- What is dropped is less than what stays

/** An element of half the text is the article itself, and what makes up half of it in all is what the page is about. */
function drop(content: Element, isClutter: (element: Element, measure: Measure) => boolean): void {
  const { of } = measure(content);
  const half = of(content).length / 2;
  const dropped = outermost(content, (element) => {
    const measure = of(element);
    return measure.length < half && isClutter(element, measure);
  });
  if (dropped.reduce((sum, element) => sum + of(element).length, 0) >= half) return;
  for (const element of dropped) element.remove();
}

// --- How much text an element holds

export type Measure = {
  /** Characters, without most of the white space. */
  length: number;
  /** Of these, in links. */
  linked: number;
  links: number;
};

const NOTHING: Measure = { length: 0, linked: 0, links: 0 };

const squeeze = (text: string) => text.replaceAll(/\s+/g, " ").trim();

/** The characters of every element below one, and how many of them are in links. */
export function measure(root: Element): { of(element: Element): Measure } {
  const measures = new Map<Node, Measure>();
  const read = (node: Node, inLink: boolean): Measure => {
    const total = { length: 0, linked: 0, links: 0 };
    for (let child = node.firstChild; child; child = child.nextSibling) {
      if (child.nodeType === 3) {
        const { length } = squeeze(child.nodeValue ?? "");
        total.length += length;
        if (inLink) total.linked += length;
      } else if (!/^(?:SCRIPT|STYLE|NOSCRIPT|TEMPLATE)$/.test(child.nodeName)) {
        const { length, linked, links } = read(child, inLink || child.nodeName === "A");
        total.length += length;
        total.linked += linked;
        total.links += links + (child.nodeName === "A" ? 1 : 0);
      }
    }
    measures.set(node, total);
    return total;
  };
  read(root, false);
  return { of: (element) => measures.get(element) ?? NOTHING };
}

/** The elements of which this holds, none of them within another, and none in what is kept whole. */
export function outermost(root: Element, holds: (element: Element) => boolean): Element[] {
  const found: Element[] = [];
  const waiting = [...root.children].toReversed();
  for (let element = waiting.pop(); element; element = waiting.pop()) {
    if (holds(element)) found.push(element);
    else if (!OPAQUE.test(element.nodeName)) waiting.push(...[...element.children].toReversed());
  }
  return found;
}
