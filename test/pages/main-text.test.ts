// Pages that are no articles: all of what they are about, in order, and nothing of what stands around it.
import { describe, expect, test } from "vitest";
import { readPage } from "../../worker/pages/read-page.ts";

const textOf = (html: string) => readPage(html).text;
const HEADER = `<header id=page-header><a href=/>Harbour forum</a><nav><ul><li><a href=/new>New posts</a><li><a href=/members>Members</a><li><a href=/help>Help</a></ul></nav>
  <form role=search><label>Search this forum</label><input name=q></form></header>`;
const FOOTER = `<div id=cookie-banner><p>We use cookies to make this site better.</p><button>Accept all</button></div>
  <footer><p>Powered by software of its own. All rights reserved.</p><a href=/terms>Terms</a></footer>`;
const around = (main: string, head = "") =>
  `<!doctype html><html><head><title>Harbour</title>${head}</head><body>${HEADER}${main}${FOOTER}</body></html>`;
const NOISE = ["New posts", "Members", "Search this forum", "cookies", "Accept all", "Powered by", "Terms"];

/** Each of them stands in the text, in this order, and nothing of what is around. */
function expectInOrder(text: string, parts: readonly string[]): void {
  let from = 0;
  for (const part of parts) {
    const at = text.indexOf(part, from);
    expect(at, `${JSON.stringify(part)} in order in ${JSON.stringify(text)}`).toBeGreaterThanOrEqual(from);
    from = at + part.length;
  }
  for (const noise of NOISE) expect(text).not.toContain(noise);
}

const POSTS = [
  [
    "Ane",
    "Does anybody know when the ferry to Lodsen goes on Sundays? The timetable on the quay is from last year.",
  ],
  ["Bo", "At nine and at three."],
  [
    "captain_holm",
    "Not in winter! From November on there is only the one at nine, and it does not go when the wind is above twelve metres a second. We have a telephone that tells you in the morning, and the numbers are painted on the ticket office, in white, as high as the door, so that nobody can miss them.",
  ],
  ["Ane", "Thank you both, then I will take the one at nine."],
  ["Dag", "Take a coat with you."],
] as const;
const IN_ORDER = POSTS.flat();

describe("a thread gives every post, in order, with its author", () => {
  test.for([
    [
      "posts with a profile beside them",
      (author: string, text: string, at: number) =>
        `<div id=p${at} class="post bg${at % 2}"><dl class=postprofile><dt><a href=/u/${author}>${author}</a></dt><dd>Posts: ${at}0</dd></dl><div class=postbody><p class=author>by ${author} » Sun</p><div class=content>${text}</div></div></div>`,
    ],
    [
      "articles with header and footer",
      (author: string, text: string, at: number) =>
        `<article class="message message--post" data-author=${author} id=js-post-${at}><header><h4 class=message-name>${author}</h4></header><div class=bbWrapper>${text}</div><footer class=message-footer>Reactions: ${at}</footer></article>`,
    ],
    [
      "list items that are comments",
      (author: string, text: string, at: number) =>
        `<li class=comment id=c${at}><span class=user-info>${author}</span><div class=comment-body><p>${text}</p></div></li>`,
    ],
    [
      "rows of a table",
      (author: string, text: string, at: number) =>
        `<table class=tborder id=post${at}><tr><td class=alt2><b>${author}</b></td><td class=alt1>${text}</td></tr></table>`,
    ],
    [
      "answers that are marked up for machines",
      (author: string, text: string) =>
        `<div itemscope itemtype="https://schema.org/Answer"><div itemprop=author itemscope><span itemprop=name>${author}</span></div><div itemprop=text><p>${text}</p></div></div>`,
    ],
  ] as const)("%s", ([, post]) => {
    const posts = POSTS.map(([author, text], at) => post(author, text, at)).join("");
    expectInOrder(textOf(around(`<div id=content><h1>Ferry on Sundays</h1>${posts}</div>`)), IN_ORDER);
  });

  test("where the page says that it is one", () => {
    const posts = POSTS.map(([author, text]) => `<section><h3>${author}</h3><p>${text}</p></section>`).join(
      "",
    );
    const head = `<script type="application/ld+json">{"@type": "DiscussionForumPosting", "headline": "Ferry"}</script>`;
    expectInOrder(textOf(around(posts, head)), IN_ORDER);
  });

  test("but the comments below an article are left out of it", () => {
    const article = `<article><h1>A whale</h1>${"<p>The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour.</p>".repeat(8)}</article>`;
    const comments = POSTS.map(
      ([author, text]) => `<li class=comment><b>${author}</b><p>${text}</p></li>`,
    ).join("");
    const text = textOf(
      around(
        `<main>${article}<ol class=comment-list>${comments}</ol></main>`,
        `<meta property="og:type" content="article">`,
      ),
    );
    expect(text).toContain("The ferry to the island");
    expect(text).not.toContain("Not in winter!");
  });
});

describe("a product gives its name, price, description and the table of what it is", () => {
  const product = `<div class=product><h1>Harbour lamp</h1><div class=gallery><img src=a.jpg alt="The lamp"></div><p class=price><span>€ 48.00</span></p>
    <form class=cart action=/cart><label>Number of lamps</label><input type=number value=1><button>Add to basket</button></form>
    <div class="tabs"><h2>Description</h2><p>A lamp of copper, made after those of the old ferries.</p>
    <h2>Details</h2><table><tr><th>Height</th><td>32 cm</td></tr><tr><th>Weight</th><td>1.4 kg</td></tr></table>
    <h2>Reviews</h2><div class=review><b class=author>Ane</b><p>It shines.</p></div></div></div>
    <section class=related-products><h2>You may also like</h2><a href=/b>Harbour bell</a></section>`;
  const PARTS = [
    "Harbour lamp",
    "€ 48.00",
    "A lamp of copper",
    "Height 32 cm",
    "Weight 1.4 kg",
    "Ane",
    "It shines.",
  ];

  test.for([
    [
      "as its JSON-LD says",
      `<script type="application/ld+json">{"@type": "Product", "name": "Harbour lamp"}</script>`,
      product,
    ],
    ["as its type says", `<meta property="og:type" content="product">`, product],
    ["as its elements say", "", `<div itemscope itemtype="http://schema.org/Product">${product}</div>`],
    ["though nothing says so", "", product],
  ])("%s", ([, head, body]) => {
    const text = textOf(around(body!, head));
    expectInOrder(text, PARTS);
    expect(text).not.toContain("Harbour bell");
  });
});

describe("documentation", () => {
  const sidebar = `<div class=sidebar><ul>${["Install", "Configure", "Deploy", "Upgrade", "Reference"].map((name) => `<li><a href=/${name}>${name} it</a>`).join("")}</ul></div>`;
  const docs = `<div role=main class=document><nav aria-label=breadcrumbs><a href=/>Docs</a></nav><h1>Configuration</h1><p>Kelp reads its settings from a file.</p>
    <aside class="admonition note"><p>Names of settings are written in small letters.</p></aside>
    <section id=port><h2>port</h2><p>Where it listens.</p><pre><code>port = 80\nhost = "::"</code></pre></section>
    <section id=modes><h2>modes</h2><dl><dt>fast</dt><dd>No checks.</dd><dt>safe</dt><dd>All checks.</dd></dl></section>
    <section><h2>limits</h2><table><tr><th>name</th><th>value</th></tr><tr><td>files</td><td>100</td></tr></table></section></div>`;
  test("gives every section, its notes, code, definitions and tables, without its menus", () => {
    const text = textOf(around(`${sidebar}${docs}`));
    expectInOrder(text, [
      "Configuration",
      "Kelp reads",
      "small letters",
      "port",
      "Where it listens.",
      'port = 80 host = "::"',
      "fast",
      "No checks.",
      "safe",
      "All checks.",
      "files 100",
    ]);
    expect(text).not.toContain("Deploy it");
  });
});

describe("lists", () => {
  const results = Array.from(
    { length: 8 },
    (_, at) =>
      `<li class=result><h3><a href=/r${at}>The ${at + 1}. harbour of the northern coast</a></h3><p>It has ${at + 2} piers.</p></li>`,
  );
  test("of search results give each of them", () => {
    const text = textOf(
      around(
        `<main><h1>8 results for harbour</h1><ol>${results.join("")}</ol><div class=pagination><a href=?2>Next page</a></div></main>`,
      ),
    );
    expectInOrder(text, [
      "8 results",
      ...results.flatMap((_, at) => [`The ${at + 1}. harbour`, `${at + 2} piers`]),
    ]);
    expect(text).not.toContain("Next page");
  });

  test("a front page gives all of its stories, not only the longest", () => {
    const teaser = (at: number, words: string) =>
      `<section class=teaser><h2><a href=/s${at}>Story ${at}: news from the sea and the land</a></h2><p>${words}</p></section>`;
    const long =
      "The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour, and nobody complained. ".repeat(
        4,
      );
    const stories = [1, 2, 3, 4, 5]
      .map((at) => teaser(at, at === 3 ? long : `Short news number ${at}, with a few words.`))
      .join("");
    expectInOrder(textOf(around(`<main>${stories}</main>`)), [
      "Story 1",
      "number 1",
      "Story 2",
      "Story 3",
      "The ferry",
      "Story 4",
      "Story 5",
      "number 5",
    ]);
  });

  test("without any names or main element, links that are its content stay and the menu goes", () => {
    const menu = `<ul>${["Home", "News", "Shop", "About us", "Log in"].map((name) => `<li><a href=/>${name}</a>`).join("")}</ul>`;
    const links = Array.from(
      { length: 9 },
      (_, at) => `<p><a href=/${at}>How the ${at}. lighthouse keeper counted whales in the fog</a></p>`,
    ).join("");
    const text = textOf(`<title>Links</title><body>${menu}<div>${links}</div></body>`);
    expect(text.split("\n")).toEqual(
      Array.from({ length: 9 }, (_, at) => `How the ${at}. lighthouse keeper counted whales in the fog`),
    );
  });
});

test("an article that does not say that it is one is still only the article", () => {
  const sentence =
    "The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour.";
  const html = around(
    `<div><div><h1>A whale</h1>${`<p>${sentence}</p>`.repeat(8)}</div><div class=sidebar><p>Ane Holm writes about ships and their crews.</p></div></div>`,
  );
  expect(textOf(html)).not.toContain("Ane Holm writes");
  expect(
    textOf(html)
      .split("\n")
      .filter((line) => line === sentence),
  ).toHaveLength(8);
});
