// The page: its HTML in the reader's language, its words, and the two files it loads. Everything it shows of todos and sentences is put
// there by page.js, which has no words of its own: they are templates in this HTML.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Hono } from "hono";
import { setCookie } from "hono/cookie";
import { html } from "hono/html";
import { languageDetector } from "hono/language";
import { secureHeaders } from "hono/secure-headers";

const LANGUAGES = ["en", "ja"] as const;
type Language = (typeof LANGUAGES)[number];

const WORDS = {
  en: {
    title: "Todos",
    other: "日本語",
    say: "Say it in your own words",
    sayExample: "we are out of milk",
    sayButton: "Send",
    sayHelp: "Kamado finds the todo that you mean and adds a note to it, or makes a new one.",
    waiting: "Kamado is reading it …",
    update: "Noted with",
    create: "New todo:",
    uncertain: "Kamado is not sure which todo you mean. Perhaps this one:",
    late: "There is no answer yet. The list changes when there is one.",
    failed: "This did not work.",
    addIt: "Add it as a todo",
    dismiss: "Dismiss",
    add: "New todo",
    name: "Title",
    category: "Category",
    addButton: "Add",
    noCategory: "No category",
    empty: "Nothing to do.",
    done: "Done",
    isDone: "Done:",
    notes: "Notes",
    note: "Add a note",
    edit: "Edit the todo",
    save: "Save",
    cancel: "Cancel",
    remove: "Delete",
    removeReally: "Delete for good?",
    unreachable: "The service does not answer. Is it still running?",
    reconnecting: "The connection is lost. The page shows changes again when the service answers.",
    gone: "This todo was deleted elsewhere.",
    more: "Only the newest 500 open todos are shown.",
    noScript: "This page needs JavaScript.",
  },
  ja: {
    title: "やること",
    other: "English",
    say: "自分の言葉で書く",
    sayExample: "牛乳がもうない",
    sayButton: "送る",
    sayHelp: "書いた内容に合う「やること」を Kamado が見つけて、メモを追加します。なければ新しく作ります。",
    waiting: "Kamado が読んでいます…",
    update: "メモを追加しました:",
    create: "新しいやること:",
    uncertain: "どの「やること」か判断できませんでした。候補:",
    late: "まだ答えがありません。答えが届くと一覧が変わります。",
    failed: "うまくいきませんでした。",
    addIt: "「やること」に追加",
    dismiss: "閉じる",
    add: "新しいやること",
    name: "題名",
    category: "分類",
    addButton: "追加",
    noCategory: "分類なし",
    empty: "やることはありません。",
    done: "済み",
    isDone: "済みにする:",
    notes: "メモ",
    note: "メモを加える",
    edit: "やることを編集",
    save: "保存",
    cancel: "やめる",
    remove: "削除",
    removeReally: "本当に削除しますか?",
    unreachable: "サービスが応答しません。起動しているか確かめてください。",
    reconnecting: "接続が切れました。サービスが応答すると、また変更が表示されます。",
    gone: "このやることは別の画面で削除されました。",
    more: "未完了の新しい 500 件だけを表示しています。",
    noScript: "このページには JavaScript が必要です。",
  },
} satisfies Record<Language, Record<string, string>>;
type Words = Record<keyof (typeof WORDS)["en"], string>;

const file = (name: string) => readFileSync(join(import.meta.dirname, name), "utf8");
const SCRIPT = file("page.js");
const STYLE = file("page.css");

const NOTHING = ["'none'"];
const OWN = ["'self'"];
/** What others wrote stands on this page. It runs no script but its own, and that one can make no HTML of a text. */
const HEADERS = {
  contentSecurityPolicy: {
    defaultSrc: NOTHING,
    scriptSrc: OWN,
    styleSrc: OWN,
    connectSrc: OWN,
    // The empty icon.
    imgSrc: ["data:"],
    baseUri: NOTHING,
    formAction: NOTHING,
    frameAncestors: NOTHING,
    requireTrustedTypesFor: ["'script'"],
    trustedTypes: NOTHING,
  },
  xFrameOptions: "DENY",
  // Plain HTTP; what stands in front of it decides about TLS.
  strictTransportSecurity: false,
};

/** A year. */
const COOKIE = { maxAge: 31_536_000, httpOnly: true, sameSite: "Strict", path: "/" } as const;

export function pageRoutes({ hasSentences }: { hasSentences: boolean }): Hono {
  const app = new Hono();
  app.use("/", secureHeaders(HEADERS));
  app.use(
    "/",
    languageDetector({
      supportedLanguages: [...LANGUAGES],
      fallbackLanguage: "en",
      lookupCookie: "lang",
      // Only a choice is kept, not what the browser asks for.
      caches: false,
    }),
  );
  app.get("/", (c) => {
    const language = c.get("language") as Language;
    if (c.req.query("lang") !== undefined) setCookie(c, "lang", language, COOKIE);
    c.header("Cache-Control", "no-cache");
    c.header("Vary", "Accept-Language, Cookie");
    return c.html(page(language, hasSentences));
  });
  const serve = (path: string, type: string, text: string) =>
    app.get(path, (c) =>
      c.body(text, 200, {
        "Content-Type": `${type}; charset=utf-8`,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
      }),
    );
  serve("/page.js", "text/javascript", SCRIPT);
  serve("/page.css", "text/css", STYLE);
  return app;
}

function page(language: Language, hasSentences: boolean) {
  const words: Words = WORDS[language];
  const other = language === "en" ? "ja" : "en";
  return html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${words.title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
</head>
<body>
<header>
<h1>${words.title}</h1>
<a href="/?lang=${other}" lang="${other}" hreflang="${other}">${words.other}</a>
</header>
<main>
<noscript><p class="problem">${words.noScript}</p></noscript>
<p class="problem" id="connection" role="status" hidden>${words.reconnecting}</p>
${hasSentences ? sayBox(words) : ""}
<form id="add" class="row">
<h2 class="wide">${words.add}</h2>
<label class="grow">${words.name}<input name="title" required maxlength="500" autocomplete="off"></label>
<label>${words.category}<input name="category" maxlength="100" autocomplete="off" list="categories"></label>
<button>${words.addButton}</button>
<p class="problem wide" role="alert" hidden></p>
</form>
<datalist id="categories"></datalist>
<p class="problem" id="list-problem" role="alert" hidden></p>
<div id="open" tabindex="-1" aria-label="${words.title}" role="region"></div>
<p id="empty" class="quiet" hidden>${words.empty}</p>
<p id="more" class="quiet" hidden>${words.more}</p>
<details id="done" hidden><summary>${words.done} (<span id="done-count"></span>)</summary><ul></ul></details>
</main>
${editDialog(words)}
${templates(words)}
</body>
</html>`;
}

const sayBox = (words: Words) => html`<form id="say" class="row">
<label class="grow">${words.say}
<input name="text" required maxlength="2000" autocomplete="off" placeholder="${words.sayExample}" aria-describedby="say-help"></label>
<button class="strong">${words.sayButton}</button>
<p id="say-help" class="quiet wide">${words.sayHelp}</p>
<p class="problem wide" role="alert" hidden></p>
<p id="no-kamado" class="problem wide" hidden></p>
</form>
<ul id="sentences" aria-live="polite"></ul>`;

const editDialog = (words: Words) => html`<dialog id="edit" aria-labelledby="edit-heading">
<form>
<h2 id="edit-heading">${words.edit}</h2>
<label>${words.name}<input name="title" required maxlength="500" autocomplete="off"></label>
<label>${words.category}<input name="category" maxlength="100" autocomplete="off" list="categories"></label>
<section id="edit-notes" hidden><h3>${words.notes}</h3><ul></ul></section>
<label>${words.note}<textarea name="note" maxlength="10000" rows="2"></textarea></label>
<p class="problem" role="alert" hidden></p>
<div class="buttons">
<button class="strong">${words.save}</button>
<button type="button" data-act="cancel">${words.cancel}</button>
<button type="button" data-act="remove" data-again="${words.removeReally}">${words.remove}</button>
</div>
</form>
</dialog>`;

/** A slot is filled with text by page.js. */
const templates = (words: Words) => html`<template id="group"><section><h2></h2><ul></ul></section></template>
<template id="no-category">${words.noCategory}</template>
<template id="unreachable">${words.unreachable}</template>
<template id="gone">${words.gone}</template>
<template id="todo"><li class="todo">
<label class="check"><input type="checkbox"><span class="unseen">${words.isDone} <span data-slot="title"></span></span></label>
<button type="button" class="title"><span data-slot="title"></span><span class="last" data-slot="note"></span></button>
</li></template>
<template id="written"><li><time></time> <span data-slot="text"></span></li></template>
${(["waiting", "update", "create", "uncertain", "late", "failed"] as const).map(
  (state) => html`<template id="sentence-${state}"><li class="sentence ${state}">
<q data-slot="text"></q>
<p>${words[state]} <b data-slot="title"></b></p>
<p class="quiet" data-slot="error"></p>
<div class="buttons">${["uncertain", "failed"].includes(state) ? html`<button type="button" data-act="add">${words.addIt}</button>` : ""}${
    state === "waiting" ? "" : html`<button type="button" data-act="dismiss">${words.dismiss}</button>`
  }</div>
</li></template>`,
)}`;
