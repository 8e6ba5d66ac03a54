// Pages that are no articles: threads, questions and their answers, products, documentation, lists, front pages. Owns how they are told
// from articles, and what their main content is: all of it in order, without what stands around it on every page of the site. Pure.
import { dropHidden, dropNamed, type Measure, measure, namesOf, outermost } from "./clean-article.ts";
import { elementTypes, type Item, typesOf } from "./structured-data.ts";

const DISCUSSION = /^(?:DiscussionForumPosting|QAPage|Question|Answer)$/;
const ARTICLE = /Article$|^(?:BlogPosting|LiveBlogPosting|Report|MedicalWebPage)$/;
const OTHER =
  /^(?:Product|ProductGroup|Vehicle|SoftwareApplication|JobPosting|Event|LocalBusiness|Restaurant|ItemList|CollectionPage|SearchResultsPage|OfferCatalog|FAQPage|AboutPage|ContactPage)$/;
/** Also of a product's reviews. */
const ARTICLE_TOO = /^(?:Review|Recipe)$/;
/** More articles than one, which may name another, are a list of them. */
const LIST = 3;

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
  const all = [...items.flatMap(typesOf), ...elementTypes(document)];
  const count = (pattern: RegExp) => all.filter((type) => pattern.test(type)).length;
  const kind = document.querySelector('meta[property="og:type"]')?.getAttribute("content") ?? "";
  const [articles, isArticle] = [count(ARTICLE), /^article$/i.test(kind)];
  // Articles hold questions with their answers for search engines, too.
  if (count(DISCUSSION) > 0 && count(/^FAQPage$/) === 0) return "other";
  if (articles === 0 && isDocumentation(document)) return "other";
  if (articles >= LIST && !isArticle) return "other";
  if (articles > 0 || isArticle) return "article";
  if (count(OTHER) > 0 || /product/i.test(kind) || document.querySelector(SHOP)) return "other";
  return count(ARTICLE_TOO) > 0 ? "article" : null;
}

const isDocumentation = (document: Document): boolean =>
  DOCS.test(document.querySelector('meta[name="generator"]')?.getAttribute("content") ?? "") ||
  document.querySelector(DOCS_PARTS) !== null;

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
/** A post and its answer are a thread. */
const POST = /[\s-](?:post|message|reply|answer|topic)(?:-|$)/;

/** The characters in elements of the same kind that stand beside each other: posts, results, answers. */
function repeatedIn(main: Element): number {
  const { of } = measure(main);
  let most = 0;
  for (const parent of [main, ...main.querySelectorAll("*")])
    for (const [kind, group] of kindsIn(parent)) {
      if (group.length < (POST.test(kind) ? 2 : TIMES)) continue;
      const words = group.reduce((sum, element) => sum + of(element).length - of(element).linked, 0);
      most = Math.max(most, words);
    }
  return most;
}

/** By each of their names, because some of them have more names than others. Names with numbers are of one element. */
function kindsIn(parent: Element): Map<string, Element[]> {
  const kinds = new Map<string, Element[]>();
  for (const element of parent.children) {
    if (!REPEATED.test(element.nodeName)) continue;
    const names = namesOf(element).filter((name) => !/\d/.test(name));
    const type = element.getAttribute("itemtype");
    for (const name of new Set(type === null ? names : [...names, type])) {
      const kind = `${element.nodeName} ${name}`;
      const group = kinds.get(kind);
      if (group) group.push(element);
      else kinds.set(kind, [element]);
    }
  }
  return kinds;
}

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
  /^(?:ads?|advert\w*|adsense|banner|breadcrumbs?|consent|cookies?|crosssell|footer|gdpr|login|masthead|menu|modal|nav|navbar|navigation|newsletters?|noprint|outbrain|pager|pagination|popup|prev|promo|promotion|recommend(?:ed|ations)?|related|search(?:bar|box|form)|share|sharing|sidebar|signin|signup|skip|social|sponsored|subscribe|taboola|toc|toolbar|upsell)$/;
