// Pages that are no articles: threads, questions and their answers, products, documentation, lists, front pages. Owns how they are told
// from articles, and what their main content is: all of it in order, without what stands around it on every page of the site. Pure.
import { dropHidden, dropNamed, type Measure, measure, namesOf, outermost } from "./clean-article.ts";
import { elementTypes, type Item, isOf } from "./structured-data.ts";

const DISCUSSION = /^(?:DiscussionForumPosting|QAPage|Question|Answer)$/;
const ARTICLE = /Article$|^(?:BlogPosting|LiveBlogPosting|Report|Review|Recipe|MedicalWebPage)$/;
const OTHER =
  /^(?:Product|ProductGroup|Vehicle|SoftwareApplication|JobPosting|Event|LocalBusiness|Restaurant|ItemList|CollectionPage|SearchResultsPage|OfferCatalog|FAQPage|AboutPage|ContactPage)$/;

/** What only shops have. */
const SHOP =
  '[itemprop="price"], [name="add-to-cart"], form[action*="/cart"], form.cart, #add-to-cart, .add-to-cart, [data-add-to-cart], .product-price';
/** Who makes the pages of documentation, and what is made. */
const DOCS =
  /sphinx|docusaurus|mkdocs|vitepress|vuepress|gitbook|docfx|javadoc|rustdoc|typedoc|jsdoc|doxygen|antora|starlight|nextra|mintlify|docsify|asciidoctor|pandoc/i;
const DOCS_PARTS =
  ".admonition, .theme-doc-markdown, .rst-content, .md-content, .markdown-body, .vp-doc, .sphinxsidebar, .highlight-python, .admonitionblock";

/** What the page says it is. */
export function isSaidToBe(document: Document, items: readonly Item[]): "article" | "other" | null {
  const types = elementTypes(document);
  const has = (pattern: RegExp) =>
    items.some((item) => isOf(item, pattern)) || types.some((type) => pattern.test(type));
  const { content = "" } = document.querySelector<HTMLMetaElement>('meta[property="og:type"]') ?? {};
  if (has(DISCUSSION)) return "other";
  if (has(ARTICLE) || /^article$/i.test(content)) return "article";
  if (has(OTHER) || /product/i.test(content) || document.querySelector(SHOP)) return "other";
  const generator = document.querySelector('meta[name="generator"]')?.getAttribute("content") ?? "";
  return DOCS.test(generator) || document.querySelector(DOCS_PARTS) ? "other" : null;
}

/** Whether an article that was found is only a part of what the page is about. For a page that does not say what it is. */
export function isPartOf(found: Element, main: Element): boolean {
  const all = wordsOf(main);
  return wordsOf(found) < ENOUGH * all || repeatedIn(main) > MOSTLY * all;
}
const ENOUGH = 0.6;
const MOSTLY = 0.6;

/** Characters that stand in no link. */
function wordsOf(element: Element): number {
  const { length, linked } = measure(element).of(element);
  return length - linked;
}

const REPEATED = /^(?:ARTICLE|DD|DIV|LI|SECTION|TABLE|TBODY|TR)$/;
const TIMES = 3;

/** The characters in elements of the same shape that stand beside each other: posts, results, answers. */
function repeatedIn(main: Element): number {
  const { of } = measure(main);
  let most = 0;
  for (const parent of [main, ...main.querySelectorAll("*")]) {
    const children = [...parent.children].filter(({ nodeName }) => REPEATED.test(nodeName));
    for (const group of Map.groupBy(children, shapeOf).values()) {
      if (group.length < TIMES || !isNamed(group[0]!)) continue;
      const words = group.reduce((sum, element) => sum + of(element).length - of(element).linked, 0);
      most = Math.max(most, words);
    }
  }
  return most;
}

const isNamed = (element: Element) => namesOf(element).length > 0 || element.hasAttribute("itemtype");

/** Names with numbers are of one element. */
const shapeOf = (element: Element) =>
  [element.nodeName, ...namesOf(element).filter((name) => !/\d/.test(name))].join(" ");

// --- The main content

const MAINS = ["main", '[role="main"]', "#main-content", "#main", "#content"];

/** Takes the document apart. */
export function mainOf(document: Document): Element {
  const { body } = document;
  dropHidden(body);
  const named = MAINS.flatMap((selector) => [...document.querySelectorAll(selector)]);
  const { of } = measure(body);
  const least = wordsBeside(body) / 2;
  const main = named.find((element) => of(element).length - of(element).linked >= least) ?? body;
  dropAround(main);
  dropNamed(main, AROUND);
  return main;
}

/** Of the whole page, without what is around it for sure. */
function wordsBeside(body: Element): number {
  const { of } = measure(body);
  const around = outermost(body, (element) => isAround(element));
  const words = (element: Element) => of(element).length - of(element).linked;
  return around.reduce((sum, element) => sum - words(element), words(body));
}

const AROUND_ROLE = /^(?:banner|contentinfo|navigation|search|dialog|alertdialog)$/;
const INNER = /^(?:ARTICLE|MAIN|SECTION|LI|TD|FIGURE|BLOCKQUOTE)$/;

/** Menus everywhere; a header, footer or aside only where it is the page's, and not that of a post or an entry. */
function isAround(element: Element, page: Element = element.ownerDocument.body): boolean {
  if (element.nodeName === "NAV" || AROUND_ROLE.test(element.getAttribute("role") ?? "")) return true;
  if (page.nodeName !== "BODY" || !/^(?:ASIDE|FOOTER|HEADER)$/.test(element.nodeName)) return false;
  return !isWithin(element, INNER);
}

function isWithin(element: Element, names: RegExp): boolean {
  for (let at = element.parentElement; at; at = at.parentElement)
    if (names.test(at.nodeName) || at.getAttribute("role") === "main") return true;
  return false;
}

/** Many short links, and hardly anything else. */
const isMenu = ({ nodeName }: Element, { length, linked, links }: Measure): boolean =>
  /^(?:UL|OL|DIV|P|TR)$/.test(nodeName) &&
  links >= MENU &&
  linked > 0.9 * length &&
  length / links < MENU_WORDS;
const MENU = 4;
/** Characters. The titles in a list are longer. */
const MENU_WORDS = 20;

function dropAround(main: Element): void {
  for (const element of outermost(main, (element) => isAround(element, main))) element.remove();
  // Where the page names no main element, its menus stand among the rest.
  if (main.nodeName !== "BODY") return;
  const { of } = measure(main);
  const menus = outermost(main, (element) => isMenu(element, of(element)) && !isWithin(element, INNER));
  const dropped = menus.reduce((sum, element) => sum + of(element).length, 0);
  if (dropped < of(main).length / 2) for (const menu of menus) menu.remove();
}

/** Words of the names of what stands around the main content. Authors, ratings, tags and comments are content here. */
const AROUND =
  /^(?:ads?|advert\w*|adsense|banner|breadcrumbs?|consent|cookies?|crosssell|footer|gdpr|login|masthead|menu|modal|nav|navbar|navigation|newsletters?|noprint|outbrain|pager|pagination|popup|promo|promotion|recommend(?:ed|ations)?|related|search(?:bar|box|form)|share|sharing|sidebar|signin|signup|skip|social|sponsored|subscribe|taboola|toc|toolbar|upsell)$/;
