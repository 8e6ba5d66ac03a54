// Pages that do not show what they are about, and pages that only write about such things.
import { describe, expect, test } from "vitest";
import { isErrorTitle } from "../../worker/pages/obstacle.ts";
import { readPage } from "../../worker/pages/read-page.ts";

const obstacleOf = (html: string) => readPage(html).obstacle;
const page = (title: string, body: string, head = "") =>
  `<!doctype html><html><head><title>${title}</title>${head}</head><body>${body}</body></html>`;
const SENTENCE =
  "The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour.";
const article = (count: number, about = SENTENCE) =>
  `<article><h1>News</h1>${`<p>${about}</p>`.repeat(count)}</article>`;
const jsonLd = (item: object) => `<script type="application/ld+json">${JSON.stringify(item)}</script>`;

describe("a page that says that something went wrong, though its status is 200", () => {
  test.for([
    [
      "a soft 404",
      page(
        "Page not found – Lodsen Times",
        "<nav><a href=/>Home</a></nav><main><h1>Page not found</h1><p>The page you are looking for has moved or never was. Try the search.</p></main>",
      ),
    ],
    [
      "one whose title says nothing",
      page("Lodsen Times", "<main><h1>404</h1><p>We could not find what you were looking for.</p></main>"),
    ],
    [
      "one of WordPress",
      page("Lodsen", "<p>It looks like nothing was found at this location.</p>").replace(
        "<body>",
        '<body class="error404 wp">',
      ),
    ],
    [
      "in Japanese",
      page("お探しのページは見つかりませんでした｜ロドセン新聞", "<p>URLをお確かめください。</p>"),
    ],
    ["in German", page("Seite nicht gefunden | Lodsener Zeitung", "<p>Diese Seite gibt es nicht mehr.</p>")],
    [
      "access denied",
      page(
        "Access Denied",
        "<h1>Access Denied</h1><p>You don't have permission to access this on this server.</p><p>Reference #18.2d351ab8</p>",
      ),
    ],
    [
      "a check for robots",
      page(
        "Just a moment...",
        "<h1>news.example</h1><p>Verifying you are human. This may take a few seconds.</p><form id=challenge-form></form>",
      ),
    ],
    [
      "another check",
      page(
        "Are you a robot?",
        "<p>Please complete the check below to go on.</p><div class=g-recaptcha></div>",
      ),
    ],
    [
      "a third one",
      page(
        "Attention Required! | Cloudflare",
        "<h1>Sorry, you have been blocked</h1><p>You are unable to access news.example</p>",
      ),
    ],
    [
      "a server in trouble",
      page(
        "503 Service Temporarily Unavailable",
        "<center><h1>503 Service Temporarily Unavailable</h1></center><hr><center>nginx</center>",
      ),
    ],
  ])("%s", ([, html]) => {
    expect(obstacleOf(html!)).toBe("error");
  });

  test.for([
    "404 Not Found",
    "Error 404",
    "404",
    "HTTP 404",
    "Oops! Page not found",
    "Not Found",
    "403 Forbidden",
    "500 Internal Server Error",
    "Sorry, the page you requested was not found",
    "This page doesn’t exist",
    "Shop | 404",
    "ページが見つかりません",
    "エラー 404",
    "Security check",
  ])("has a title like %s", (title) => {
    expect(isErrorTitle(title)).toBe(true);
  });

  test.for(
    [
      "404 ways to bake bread",
      "The 404 page and its history",
      "How to fix error 500 on your server",
      "500",
      "Found and not found: a love story",
      "Access denied: how banks treat the poor",
      "Sorry for the mess, said the mayor",
      "Just a moment in time",
      "503 – the bus that never came",
      "エラーの直し方",
    ].filter((title) => title !== "500"),
  )("but not like %s", (title) => {
    expect(isErrorTitle(title)).toBe(false);
  });

  test("an article about it is none, however short", () => {
    expect(
      obstacleOf(
        page(
          "What a 404 page should say",
          article(
            3,
            "Page not found is all that most sites say. A page that says access denied should say why.",
          ),
        ),
      ),
    ).toBeNull();
    expect(obstacleOf(page("Access denied", article(20)))).toBeNull();
  });
});

describe("a page that asks for consent before it shows anything", () => {
  test.for([
    [
      "a wall of a search engine",
      page(
        "Before you continue to Search",
        "<div><h1>Before you continue</h1><p>We use cookies and data to deliver and maintain our services, and to measure audience engagement.</p><form action='https://consent.example/save'><button>Reject all</button><button>Accept all</button></form></div>",
      ),
    ],
    [
      "a wall of a newspaper",
      page(
        "Lodsen Times",
        "<div class=cookie-wall><h2>We value your privacy</h2><p>We and our 824 partners store and access information on a device, such as cookies, and process personal data, such as identifiers, for personalised advertising.</p><button>Accept all</button><a href=/settings>Manage choices</a></div>",
      ),
    ],
    [
      "a wall that offers a subscription",
      page(
        "Lodsener Zeitung",
        "<div id=cmpbox><h1>Mit Werbung weiterlesen</h1><p>Wir und unsere Partner verwenden Cookies, um die Seite zu bezahlen.</p><button>Alle akzeptieren</button></div>",
      ),
    ],
    [
      "in Japanese",
      page(
        "ロドセン新聞",
        "<div><p>当サイトではクッキーを使用しています。続けるには同意が必要です。</p><button>同意する</button></div>",
      ),
    ],
  ])("%s", ([, html]) => {
    expect(obstacleOf(html!)).toBe("consent");
  });

  test.for([
    [
      "a page with a banner",
      page(
        "News",
        `${article(6)}<div id=cookie-banner><p>We use cookies to make this site better.</p><button>Accept all</button></div>`,
      ),
    ],
    [
      "a short page with a banner",
      page(
        "News",
        `${article(4)}<div class=cookie-consent><p>We and our partners use cookies.</p><button>OK</button></div>`,
      ),
    ],
    [
      "an article about cookies",
      page(
        "What cookies know",
        article(
          4,
          "We use cookies, says almost every site before you continue, and few people ask what our partners do with them.",
        ),
      ),
    ],
    [
      "a recipe",
      page(
        "Oat cookies",
        article(2, "We use cookies of yesterday for the crust, and accept all kinds of butter."),
      ),
    ],
  ])("but not %s", ([, html]) => {
    expect(obstacleOf(html!)).toBeNull();
  });

  test("the banner is never the text where there is another one", () => {
    const banner = `<div id=onetrust-consent-sdk><p>${"We and our partners use cookies to store information on your device, and to show you advertising that suits you. ".repeat(9)}</p><button>Accept all</button></div>`;
    const { text, obstacle } = readPage(
      page(
        "News",
        `${banner}<div id=story><p>${SENTENCE}</p><p>${SENTENCE}</p><p>${SENTENCE}</p><p>${SENTENCE}</p></div>`,
      ),
    );
    expect([obstacle, text]).toEqual([null, Array(4).fill(SENTENCE).join("\n")]);
  });
});

describe("a page that needs JavaScript", () => {
  test.for([
    [
      "the frame of a program",
      page(
        "App",
        "<noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div><footer>Imprint</footer><script src=a.js></script>",
      ),
    ],
    [
      "words that say so",
      page("Shop", "<h1>Shop</h1><p>Please enable JavaScript in your browser to use this site.</p>"),
    ],
    [
      "words that say so in Japanese",
      page("店", "<p>このサイトを表示するにはJavaScriptを有効にしてください。</p>"),
    ],
    [
      "a menu around nothing",
      page(
        "App",
        "<div id=__next></div><nav><a href=/>Home</a><a href=/a>About</a></nav><script src=a.js></script>",
      ),
    ],
  ])("%s", ([, html]) => {
    expect(obstacleOf(html!)).toBe("javascript");
  });

  test.for([
    [
      "a page that has its text all the same",
      page(
        "News",
        `<noscript>Please enable JavaScript for comments.</noscript><div id=app>${article(6)}</div><script src=a.js></script>`,
      ),
    ],
    [
      "an article about it",
      page(
        "Without JavaScript",
        article(5, "Few sites work when you disable it, and most say: please enable JavaScript."),
      ),
    ],
    [
      "an article that stands in its data",
      page(
        "App",
        `<div id=root></div>${jsonLd({ "@type": "NewsArticle", articleBody: `${SENTENCE} `.repeat(8) })}<script src=a.js></script>`,
      ),
    ],
  ])("but not %s", ([, html]) => {
    expect(obstacleOf(html!)).toBeNull();
  });
});

describe("a page that shows only the beginning to those who have not paid", () => {
  const paid = jsonLd({
    "@type": "NewsArticle",
    headline: "News",
    isAccessibleForFree: false,
    hasPart: { "@type": "WebPageElement", isAccessibleForFree: "False", cssSelector: ".paid-part" },
  });
  test.for([
    ["says that it is not free", page("News", article(2), paid)],
    [
      "says so in words of a string",
      page("News", article(2), jsonLd({ "@type": "Article", isAccessibleForFree: "False" })),
    ],
    [
      "ends in a wall",
      page(
        "News",
        `${article(3)}<div class=article-paywall><h2>Subscribe to continue reading</h2><p>Already a subscriber? Log in.</p></div>`,
      ),
    ],
    [
      "is much shorter than it says it is",
      page(
        "News",
        `${article(3)}<p>Become a member to read on.</p>`,
        jsonLd({ "@type": "NewsArticle", wordCount: 1200 }),
      ),
    ],
    [
      "is Japanese",
      page(
        "ニュース",
        `<article><h1>ニュース</h1><p>島への船は、港に鯨が入ったため一時間遅れて出た。</p></article><div class=paywall-box>この記事は有料会員限定です。残り1,234文字</div>`,
      ),
    ],
  ])("%s", ([, html]) => {
    expect(obstacleOf(html!)).toBe("paywall");
  });

  test.for([
    [
      "that is not free, but stands there whole",
      page(
        "News",
        `<article><h1>News</h1><p>${SENTENCE}</p><div class=paid-part>${`<p>${SENTENCE}</p>`.repeat(14)}</div></article>`,
        paid,
      ),
    ],
    ["that is not free, and long", page("News", article(40), paid)],
    [
      "with an offer to subscribe",
      page("News", `${article(8)}<aside><p>Subscribe to our newsletter.</p></aside>`),
    ],
    [
      "with a wall that is not shown",
      page("News", `${article(30)}<div class=paywall hidden>Subscribe to continue reading</div>`),
    ],
    [
      "about paywalls",
      page(
        "Paywalls",
        article(6, "Subscribe to continue reading, say most papers, and already a subscriber asks twice."),
      ),
    ],
    [
      "that says it is free",
      page("News", article(2), jsonLd({ "@type": "NewsArticle", isAccessibleForFree: true })),
    ],
  ])("but not one %s", ([, html]) => {
    expect(obstacleOf(html!)).toBeNull();
  });
});
