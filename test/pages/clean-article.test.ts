// What is left out of an article, and what must stay: a page for each rule.
import { describe, expect, test } from "vitest";
import { readPage } from "../../worker/pages/read-page.ts";

const SENTENCES = [
  "The ferry to the island of Lodsen left an hour late on Monday, because a whale had come into the harbour.",
  "Nobody aboard complained, said the captain, who had counted ninety passengers at the railing with their telephones.",
  "The whale swam twice around the light, looked at the fish market from near by and went back to the open sea.",
  "For the harbour it was the first one in sixty years, according to the book that the lighthouse keepers have kept.",
  "The school on the quay had let its pupils out, and the bakery sold all of its rolls before ten in the morning.",
  "A researcher of the university believes that a school of herring had lost its way, and the whale had followed it.",
  "The ferry company refunds the fare of whoever missed a train, and asks everybody else for their photographs.",
  "On Tuesday the harbour was empty again, and the ferry left on time, with two passengers and a dog on board.",
];
const PARAGRAPHS = SENTENCES.map((sentence) => `<p>${sentence}</p>`);
const ARTICLE = SENTENCES.join("\n");

/** A page with something between its paragraphs. */
const withInside = (inside: string, body = '<div class="article-body">') =>
  `<!doctype html><title>A whale in the harbour</title><nav><a href=/>Home</a> <a href=/sea>Sea</a></nav>
   <main>${body}${PARAGRAPHS.slice(0, 4).join("")}${inside}${PARAGRAPHS.slice(4).join("")}</main>`;
const textOf = (html: string) => readPage(html).text;

describe("elements whose class or id says that they are no part of the text", () => {
  test.for([
    [
      "shares",
      "<div class='social-share'><p>Tell your friends about the whale, they will be glad.</p></div>",
    ],
    [
      "a newsletter",
      "<div id='newsletterSignup'><p>Every morning the news of the sea, for free, in your mail.</p></div>",
    ],
    [
      "related articles",
      "<section class=related-articles><p>Also this week: a seal on the beach, and a gale.</p></section>",
    ],
    [
      "advertisements",
      "<div class='box ad slot'><p>Waxed coats for all weathers, now at half their price.</p></div>",
    ],
    [
      "an author's box",
      "<div class=author_bio><p>Ane Holm writes about ships and their crews for this paper.</p></div>",
    ],
    ["tags", "<p class=post-tags>Filed under ships, harbours, whales, and the weather at sea</p>"],
    [
      "a gallery",
      "<div class=photo-gallery><p>Picture 1 of 9: the whale beside the light, at half past eight.</p></div>",
    ],
    [
      "what is for screen readers",
      "<p class=sr-only>The advertisement begins here, and ends after the picture below.</p>",
    ],
    [
      "a paywall's offer",
      "<div class=subscribe-box><p>Read on for one euro a month, and cancel whenever you like.</p></div>",
    ],
    [
      "what is written in camel case",
      "<div class=inlineRelatedStories><p>The last whale came here in the year of the great storm.</p></div>",
    ],
    [
      "comments below it",
      "<div class=comments><p>I was there, and it was larger than the ferry, says a reader.</p></div>",
    ],
  ])("are left out: %s", ([, inside]) => {
    expect(textOf(withInside(inside!))).toBe(ARTICLE);
  });

  test.for([
    [
      "a name that only holds such a word",
      "<p class=shareholders>The shareholders of the ferry company have heard of it, too.</p>",
    ],
    [
      "a name that says how the page is laid out",
      "<div class='has-sidebar with-ads'><p>The light was built in the year of the great storm.</p></div>",
    ],
    [
      "names of a highlighter of code",
      "<pre><code><span class=hljs-comment># count the whales</span> <span class=nav>count()</span></code></pre>",
    ],
    [
      "a quote",
      "<blockquote class=tweet><p>We have never seen a thing like it, wrote the harbour master.</p></blockquote>",
    ],
    [
      "a table",
      "<table class=widget-table><tr><th>Year</th><th>Whales</th></tr><tr><td>1965</td><td>one</td></tr></table>",
    ],
  ])("stay where the name does not say that: %s", ([, inside]) => {
    const text = textOf(withInside(inside!));
    expect(text).toContain(
      inside!
        .replaceAll(/<\/?(?:p|div|pre|code|span|blockquote)\b[^>]*>/g, "")
        .replaceAll(/<[^>]*>/g, "\n")
        .match(/[^\n]+/)![0],
    );
    for (const sentence of SENTENCES) expect(text).toContain(sentence);
  });

  test("stay where they hold half of the text: then the whole article is in them", () => {
    expect(textOf(withInside("", "<div class=social-content><div class=post-share-body>"))).toBe(ARTICLE);
  });

  test("stay where all of them together are half of the text: then the page is about them", () => {
    const people = SENTENCES.map((sentence) => `<div class=author-bio><p>${sentence}</p></div>`).join("");
    expect(textOf(`<title>Who we are</title><main><div>${people}</div></main>`)).toBe(ARTICLE);
  });
});

describe("blocks that are mostly links", () => {
  test("are left out", () => {
    const inside =
      "<p><a href=/a>Read more: the whales of the north and where to see them</a></p><ul><li><a href=/b>Ten harbours worth a trip</a><li><a href=/c>Why herring turns back</a></ul>";
    expect(textOf(withInside(inside))).toBe(ARTICLE);
  });

  test("stay where words stand around the links, or the links are headings", () => {
    const sentence =
      "The <a href=/h>harbour</a> and the <a href=/l>light</a> are open to visitors on every Sunday.";
    const text = textOf(withInside(`<p>${sentence}</p><h3><a href=/s>What the school saw</a></h3>`));
    expect(text).toContain(
      "The harbour and the light are open to visitors on every Sunday.\nWhat the school saw\n",
    );
  });

  test("stay where most of the page is links: then the page is about them", () => {
    const list = SENTENCES.map((sentence, at) => `<li><a href=/${at}>${sentence}</a></li>`).join("");
    expect(textOf(`<title>News</title><main><ul>${list}</ul></main>`)).toBe(ARTICLE);
  });
});

describe("what stands under a picture", () => {
  test.for([
    "<figure><img src=a.jpg alt=x><figcaption>The whale beside the light. Photo: A. Holm</figcaption></figure>",
    "<div class=wp-caption><img src=a.jpg><p class=wp-caption-text>The whale beside the light. Photo: A. Holm</p></div>",
    "<span class=photo><img src=a.jpg><span class=imageCaption>The whale beside the light. Photo: A. Holm</span></span>",
  ])("is not among the paragraphs: %s", (inside) => {
    expect(textOf(withInside(inside))).toBe(ARTICLE);
  });
});

describe("the element that the page itself names as the article's body", () => {
  const around =
    "<p>The editors of this paper have a rule: whoever is named in it may answer in it, within a week.</p>";
  test("is the article where it holds about what is found without it", () => {
    const html = `<title>A whale</title><main>${around}<div itemprop=articleBody>${PARAGRAPHS.join("")}</div></main>`;
    expect(textOf(html)).toBe(ARTICLE);
  });

  test("is not the article where it holds much less", () => {
    const html = `<title>A whale</title><main><div class=article-body>${PARAGRAPHS.slice(0, 3).join("")}</div>${PARAGRAPHS.slice(3).join("")}</main>`;
    expect(textOf(html)).toBe(ARTICLE);
  });
});

test.for(["aside", "nav", "form", "header", "footer"])(
  "an element that stands around texts is left out: %s",
  (name) => {
    const inside = `<${name}><p>This paper has been printed on the island since the year of the great storm.</p></${name}>`;
    expect(textOf(withInside(inside))).toBe(ARTICLE);
  },
);

test("an aside that is a note to the text stays", () => {
  const note = "<aside class='admonition note'><p>The ferry takes no bicycles on Sundays.</p></aside>";
  expect(textOf(withInside(note))).toContain("The ferry takes no bicycles on Sundays.");
});

test("a form around the whole article stays", () => {
  expect(textOf(withInside("", "<form action=/><div class=article-body>"))).toBe(ARTICLE);
});

test.for(["hidden", "style='display: none'", "style='color: red; visibility:hidden'", "aria-hidden=true"])(
  "what nobody sees is left out: %s",
  (hidden) => {
    expect(
      textOf(withInside(`<div ${hidden}><p>Accept all to go on reading about whales and ships.</p></div>`)),
    ).toBe(ARTICLE);
  },
);
