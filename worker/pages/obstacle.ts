// Pages that do not show what they are about: they need JavaScript, ask for consent or money first, or say that something went wrong with
// status 200. Owns how each is told from a page that only writes about such things. Pure.
import type { Obstacle } from "../job/handler.ts";
import { type Item, lineOrNull } from "./structured-data.ts";

export type Page = {
  makeDocument: () => Document;
  items: readonly Item[];
  title: string | null;
  text: string;
};
type Shown = Omit<Page, "makeDocument"> & { document: Document };

/** What stands in the way of a page is short; characters. A page with more text is what it seems. */
const MAX_ERROR = 1_500;
const MAX_CONSENT = 2_500;
const MAX_SHELL = 600;
const MAX_TEASER = 2_500;
const MAX_TEXT = Math.max(MAX_ERROR, MAX_CONSENT, MAX_SHELL, MAX_TEASER);

export function obstacleOf({ makeDocument, ...page }: Page): Obstacle | null {
  if (page.text.length > MAX_TEXT && !isMuchShorter(page)) return null;
  const shown: Shown = { ...page, document: makeDocument() };
  if (isError(shown)) return "error";
  if (isConsent(shown)) return "consent";
  if (needsScript(shown)) return "javascript";
  return isPaywall(shown) ? "paywall" : null;
}

const has = (document: Document, selectors: string) => document.querySelector(selectors) !== null;

// --- Errors and checks for robots

/** The whole of a title, or of a part of it between bars and dashes. */
const ERROR_TITLES = new RegExp(
  `^(?:${[
    String.raw`(?:http )?(?:error|fehler|erreur|エラー)?\s*[45]\d\d(?:\s*[:.!-]?\s*(?:error|not found|page not found|forbidden|bad gateway|service (?:temporarily )?unavailable|internal server error|gateway time-?out|unauthorized|too many requests|gone))?`,
    `(?:error|oops|sorry|whoops)[,.!:…]*(?: .{0,30}(?:not found|wrong|exist|unavailable|error))?`,
    `(?:the |this )?(?:page|file|article|url|content|resource)(?: you .{0,40})? (?:(?:was |is |could )?not (?:be )?(?:found|available)|(?:does not|doesn't|doesn’t|no longer) exists?|is missing|unavailable)`,
    `(?:page )?not found|access (?:to this page has been )?denied|(?:request )?(?:blocked|forbidden|rejected)|service unavailable|temporarily unavailable|bad gateway|internal server error|too many requests`,
    `just a moment|attention required!?|one moment,? please|checking your browser.*|please wait|ddos-guard|security (?:check|checkpoint|verification).*|vercel security checkpoint`,
    `(?:are you (?:a )?(?:robot|human)|robot check|bot (?:check|detection|verification)|human verification|verify(?:ing)? (?:that )?you are (?:a )?human|captcha(?: .{0,20})?|pardon our interruption|you have been blocked|sorry, you have been blocked|unusual traffic.*|client challenge)`,
    `(?:指定された|お探しの)?ページ(?:が|は)(?:見つかりません|ございません|存在しません|削除).*|アクセス(?:が|は)?(?:拒否|制限|集中).*|ただいま.*(?:混み合|メンテナンス).*|見つかりません(?:でした)?`,
    `(?:diese )?seite (?:wurde )?nicht gefunden|zugriff verweigert|page (?:introuvable|non trouvée)|accès refusé|página no encontrada|acceso denegado|pagina non trovata|página não encontrada|pagina niet gevonden|страница не найдена`,
  ].join("|")})[.!?…。\\s]*$`,
  "iu",
);
const ERROR_MARKS =
  "body.error404, body.error-404, body.page-404, .cf-error-details, #cf-error-details, #challenge-form, #challenge-running, #challenge-error-text, .cf-browser-verification, #px-captcha, .px-captcha, #captcha-form, form#captcha, #sec-cpt-if, #distilIdentificationBlock, .ddos-guard, iframe[src*='_Incapsula_Resource'], iframe[src*='captcha-delivery.com'], script[src*='/cdn-cgi/challenge-platform/'][src*='orchestrate']";

function isError({ document, title, text }: Shown): boolean {
  if (text.length > MAX_ERROR) return false;
  if (has(document, ERROR_MARKS)) return true;
  const headings = [...document.querySelectorAll("h1, h2")]
    .slice(0, 2)
    .map(({ textContent }) => lineOrNull(textContent));
  const own = lineOrNull(document.querySelector("title")?.textContent);
  return [own, title, ...headings, text.split("\n", 1)[0]!].some(
    (one) => one !== null && one !== undefined && isErrorTitle(one),
  );
}

/** A title may hold the site's name too. A number alone is an error where nothing longer than a name stands beside it. */
export function isErrorTitle(title: string): boolean {
  const parts = title.split(/\s[|\-–—·:»]+\s|\s?[|｜]\s?/).map((part) => part.trim());
  const isShort = parts.every((part) => part.split(/\s+/).length <= MAX_NAME);
  return parts.some((part) => ERROR_TITLES.test(part) && (isShort || /\D{3}/.test(part)));
}
/** Words. */
const MAX_NAME = 3;

// --- Consent

/** Names of what asks: those that the makers of such programs give, and those that everybody gives. */
const CONSENT_NAMES =
  /(?:^|\s)(?:cmpbox|cmpwrapper|consent-form|consent-page|con-wizard|didomi-(?:popup|host|notice)|fc-consent-root|onetrust-\S+|qc-cmp\S*|sp_message_container\S*|usercentrics-\S+|CybotCookiebot\S*|truste-\S+)(?:\s|$)|(?:cookie|consent|gdpr)[-_]?(?:wall|banner|bar|notice|consent|popup|modal|dialog|overlay|law|layer|message)/i;
const CONSENT_ADDRESS = /consent\.|\/(?:collect)?consent|privacy-mgmt/i;
const CONSENT_WORDS =
  /\b(?:we (?:and our (?:\d+ )?partners )?(?:use|store|value|need)[^.]{0,60}(?:cookies|privacy|consent)|before you continue|our partners|accept (?:all )?cookies|your (?:privacy )?choices|personali[sz]ed (?:ads|advertising)|wir (?:und unsere partner )?(?:verwenden|nutzen|brauchen)[^.]{0,60}(?:cookies|einwilligung|zustimmung)|nous utilisons[^.]{0,60}cookies|utilizamos[^.]{0,60}cookies|usiamo[^.]{0,60}cookie)|(?:クッキー|cookie)[^。]{0,40}(?:同意|使用|利用)/i;
const AGREE =
  /^(?:(?:i )?(?:accept|agree|allow|consent)(?: (?:all|and continue|to all|cookies|all cookies|und weiter))*|yes,? i agree|got it|ok(?:ay)?|alle(?:s)? akzeptieren|(?:alle )?(?:akzeptieren|zustimmen)(?: und weiter)?|tout accepter|accepter(?: et (?:fermer|continuer))?|j'accepte|aceptar(?: todo)?|accetta(?: tutto)?|(?:すべて)?(?:同意|許可)(?:する|して続行)?)[.!]?$/i;

/** The page asks before it shows anything, in words and with a button to agree. */
function isConsent({ document, title, text }: Shown): boolean {
  if (text.length > MAX_CONSENT) return false;
  if (!CONSENT_WORDS.test(text) && !/^before you continue/i.test(title ?? "")) return false;
  if (consentPlaces(document).length === 0 && !hasButton(document)) return false;
  return withoutConsent(document, text) < MIN_CONTENT;
}
/** Characters. So much text beside the question is the page itself. */
const MIN_CONTENT = 400;

/** How much of the text stands in paragraphs that do not ask. */
function withoutConsent(document: Document, text: string): number {
  const asking = consentPlaces(document).map(({ textContent }) => lineOrNull(textContent) ?? "");
  const others = text
    .split("\n")
    .filter((line) => !CONSENT_ABOUT.test(line) && !asking.some((place) => place.includes(line)));
  return others.reduce((sum, line) => sum + line.length, 0);
}
const CONSENT_ABOUT =
  /cookie|consent|privacy|partner|advertis|personali[sz]|data|accept|reject|agree|einwillig|zustimm|datenschutz|クッキー|同意|プライバシー/i;

/** Not the whole page, which often has a name that says that the question is open. */
const consentPlaces = (document: Document): Element[] =>
  [...document.body.querySelectorAll("*")].filter(
    (element) =>
      isConsentPlace(element) &&
      !/^(?:MAIN|ARTICLE)$/.test(element.nodeName) &&
      CONSENT_ABOUT.test(element.textContent ?? ""),
  );

const isConsentPlace = (element: Element): boolean =>
  CONSENT_NAMES.test(`${element.id} ${element.getAttribute("class") ?? ""}`) ||
  (element.nodeName === "FORM" && CONSENT_ADDRESS.test(element.getAttribute("action") ?? "")) ||
  (element.nodeName === "IFRAME" && CONSENT_ADDRESS.test(element.getAttribute("src") ?? ""));

/** Where the page shows something besides, the question is in nobody's way, but long enough to be taken for the text. */
export function dropConsent(document: Document): void {
  const lengthOf = ({ textContent }: Element) => lineOrNull(textContent)?.length ?? 0;
  const places = consentPlaces(document);
  if (places.length === 0) return;
  const all = lengthOf(document.body);
  const asking = places.reduce((sum, place) => sum + lengthOf(place), 0);
  if (all - asking < MIN_BESIDE || asking > MAX_ASKING) return;
  for (const place of places) place.remove();
}
const MIN_BESIDE = 200;
const MAX_ASKING = 20_000;

const hasButton = (document: Document) =>
  [...document.querySelectorAll("button, a, input[type=submit], input[type=button], [role=button]")].some(
    (button) => AGREE.test(lineOrNull(button.textContent) ?? lineOrNull(button.getAttribute("value")) ?? ""),
  );

// --- JavaScript

const NEEDS_SCRIPT =
  /(?:enable|activate|turn on|requires?|needs?|without|activer|aktivieren|active|habilit\p{L}*|attiva\p{L}*)[^.\n]{0,40}\bjava ?script|java ?script[^.\n]{0,60}(?:enabled?|required|disabled|turned off|activ|aktiv|désactiv|deshabilit|not (?:available|supported))|java ?script(?:を|が)[^。\n]{0,20}(?:有効|無効|必要|オン)/iu;
const ROOTS =
  "#root, #app, #__next, #__nuxt, #___gatsby, #svelte, #ember-app, app-root, [ng-app], [data-reactroot], #react-root, #application, #main-app";

/** Lines. An article about it has more. */
const MAX_SAYING = 2;

/** The page says so, or it is the empty frame of a program. */
function needsScript({ document, text }: Shown): boolean {
  if (text.length > MAX_SHELL) return false;
  const [saying = [], others = []] = [true, false].map((says) =>
    text.split("\n").filter((line) => NEEDS_SCRIPT.test(line) === says),
  );
  const isSaid = saying.length > 0 && saying.length <= MAX_SAYING;
  if (isSaid && others.join("\n").length < MAX_SHELL / 2) return true;
  const said = [...document.querySelectorAll("noscript")].some(({ textContent }) =>
    NEEDS_SCRIPT.test(textContent ?? ""),
  );
  const isEmpty = [...document.querySelectorAll(ROOTS)].some((root) => lineOrNull(root.textContent) === null);
  return isEmpty || (said && text.length < MAX_SHELL / 2 && has(document, "script[src]"));
}

// --- Paywalls

const PAYWALLS =
  "[class*='paywall'], [id*='paywall'], [class*='regwall'], [class*='subscriber-only'], [class*='subscribers-only'], [class*='subscription-required'], [class*='premium-teaser'], [class*='article-teaser-end'], [class*='piano-'], .tp-modal, #gateway-content, .meteredContent, [data-paywall], .wall-login, [class*='locked-content'], [class*='content-locked'], [class*='memberwall'], [class*='article-gate']";
const ASKS =
  /\b(?:subscribe (?:now )?to (?:continue|keep|read)|(?:to|and) (?:continue|keep) reading|continue reading (?:with|this)|already a (?:subscriber|member)|become a (?:subscriber|member)|this (?:article|content|story) is (?:for|only|reserved|exclusive)[^.\n]{0,40}(?:subscribers|members)|(?:subscribers|members)[- ]only|unlock this (?:article|story)|start your (?:free )?trial|log ?in to (?:continue|read)|(?:weiterlesen|jetzt) mit [^.\n]{0,20}(?:abo|plus)|réservé aux abonnés|solo para suscriptores)|(?:この(?:記事|先)[^。\n]{0,20})(?:有料|会員)|(?:有料|会員)(?:会員)?(?:限定|記事)|続きを読むには|残り\s*[\d,]+\s*文字/i;

/** The page says that it is not free, or shows where it ends, and shows no more than its beginning. */
function isPaywall(shown: Shown): boolean {
  const { document, items, text } = shown;
  if (showsPaidPart(document, items)) return false;
  const isPaid = items.some((item) => /^(?:false|no)$/i.test(String(item.isAccessibleForFree)));
  const asks = ASKS.test(lineOrNull(document.body.textContent) ?? "");
  const hasWall = has(document, PAYWALLS);
  if (isMuchShorter(shown)) return isPaid || asks || hasWall;
  return (isPaid && (asks || hasWall || isCut(text))) || (asks && hasWall);
}

const isCut = (text: string) => text.length < MAX_TEASER / 2 || /(?:…|\.\.\.|\[…\])\s*$/.test(text);

/** The page says how many words it has. */
const isMuchShorter = ({ items, text }: Pick<Page, "items" | "text">): boolean =>
  items.some((item) => {
    const words = Number(item.wordCount);
    return words > 100 && /\s/.test(text) && text.split(/\s+/).length < words / 2;
  });

const MIN_PAID = 1_000;

/** The part that costs is named by a selector. Whoever has it on the page may read it. */
function showsPaidPart(document: Document, items: readonly Item[]): boolean {
  const selectors = items.flatMap(({ cssSelector }) =>
    typeof cssSelector === "string" ? [cssSelector] : [],
  );
  return selectors.some((selector) => {
    try {
      const parts = [...document.querySelectorAll(selector)];
      return parts.reduce((sum, part) => sum + (lineOrNull(part.textContent) ?? "").length, 0) > MIN_PAID;
    } catch {
      return false;
    }
  });
}
