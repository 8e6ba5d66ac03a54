// The frame of every page: head, navigation, the switches of language and colours, and where the page's own content stands.

import { fileURLToPath } from "node:url";
import { html } from "hono/html";
import { LANGUAGES, type Language } from "../language.ts";
import { createStaticFiles } from "../static-files.ts";
import { type Html, NONE, type Shown, THEMES, type View } from "./view.ts";
import type { WordKey } from "./words.ts";

const file = (name: string) => fileURLToPath(new URL(`../assets/${name}`, import.meta.url));

export const assets = createStaticFiles(
  {
    "console.css": file("console.css"),
    "console.js": file("console.js"),
    "chat.js": file("chat.js"),
    "icon.svg": file("icon.svg"),
  },
  "/console/assets",
);

export type Section = {
  path: string;
  name: WordKey;
  /** Drawn as lines in a square of 20. */
  icon: string;
};

const SECTIONS: readonly Section[] = [
  { path: "/", name: "nav_overview", icon: "M3 11.5 10 4l7 7.5M5 9.7V16.5h10V9.7" },
  { path: "/console/jobs", name: "nav_jobs", icon: "M3.5 5h13M3.5 10h13M3.5 15h8" },
  { path: "/console/submit", name: "nav_submit", icon: "M10 4v12M4 10h12" },
  { path: "/console/chat", name: "nav_chat", icon: "M3.5 4.5h13v9h-7l-3.5 3v-3H3.5z" },
  {
    path: "/console/engine",
    name: "nav_engine",
    icon: "M5.5 5.5h9v9h-9zM8 2.5v3M12 2.5v3M8 14.5v3M12 14.5v3M2.5 8h3M2.5 12h3M14.5 8h3M14.5 12h3",
  },
  {
    path: "/console/schedules",
    name: "nav_schedules",
    icon: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM10 6.5V10l2.5 1.8",
  },
  { path: "/console/dead-letters", name: "nav_dead_letters", icon: "M3 5.5h14v9H3zM3 6l7 5 7-5" },
  {
    path: "/console/destinations",
    name: "nav_destinations",
    icon: "M3 10h11M10 5.5l4.5 4.5-4.5 4.5M17 4v12",
  },
];

/** How many of them stand in the bar of a phone; the others are behind "more". */
const IN_BAR = 4;

export function pageOf(view: View, { title, before, live, after, script }: Shown, signOut: SignOut): Html {
  const { t, language, theme } = view;
  return html`<!doctype html>
<html lang="${language}"${theme === "auto" ? "" : html` data-theme="${theme}"`}>
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="${theme === "auto" ? "light dark" : theme}"><meta name="referrer" content="same-origin">
<title>${title} · Kamado</title><link rel="icon" href="${assets.href("icon.svg")}" type="image/svg+xml">
<link rel="stylesheet" href="${assets.href("console.css")}"><script type="module" src="${assets.href("console.js")}"></script>${
    script === undefined ? NONE : html`<script type="module" src="${assets.href(`${script}.js`)}"></script>`
  }</head>
<body data-live="${t("live_on")}" data-paused="${t("live_paused")}" data-lost="${t("live_lost")}" data-copied="${t("copied")}">
<a class="skip" href="#main">${t("skip")}</a>
<header class="top"><a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><path class="arch" d="M4 25v-7a12 12 0 0 1 24 0v7z"/><path class="flame" d="M16 12c.7 3 4.3 4 4.3 8A4.3 4.3 0 0 1 16 24.3a4.3 4.3 0 0 1-4.3-4.2c0-2 1.1-3 1.8-4.1.3 1.2.9 1.6 1.4 1.7-.2-2 .2-4 1.1-5.7z"/></svg>Kamado</a>
<nav class="side" aria-label="${t("nav")}"><ul>${SECTIONS.map((section) => entry(view, section))}</ul></nav>
<div class="switches">${live === undefined ? NONE : html`<span class="pulse" id="pulse" role="status"></span>`}${switches(view)}${signOut ? html`<form method="post" action="${signOut}"><button class="link">${t("sign_out")}</button></form>` : NONE}</div></header>
<main id="main" tabindex="-1">${before ?? NONE}${live === undefined ? NONE : html`<div id="live">${live}</div>`}${after ?? NONE}</main>
<nav class="bar-nav" aria-label="${t("nav")}"><ul>${SECTIONS.slice(0, IN_BAR).map((section) => entry(view, section))}
<li><details class="more"><summary>${icon("M4 10h.01M10 10h.01M16 10h.01")}<span>${t("nav_more")}</span></summary><ul>${SECTIONS.slice(IN_BAR).map((section) => entry(view, section))}</ul></details></li></ul></nav>
</body></html>`;
}

/** Where a session is ended, for whoever has one. */
export type SignOut = string | undefined;

function entry({ path: here, t }: View, { path, name, icon: drawing }: Section): Html {
  const isHere = path === "/" ? here === "/" : here === path || here.startsWith(`${path}/`);
  return html`<li><a href="${path}"${isHere ? html` aria-current="page"` : ""}>${icon(drawing)}<span>${t(name)}</span></a></li>`;
}

export const icon = (drawing: string): Html =>
  html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true"><path d="${drawing}"/></svg>`;

const HALF_DARK = "M10 3a7 7 0 1 0 0 14a7 7 0 1 0 0-14zM10 3v14M12.2 4v12M14.4 5.5v9";
const THEME_WORDS = { auto: "theme_auto", light: "theme_light", dark: "theme_dark" } as const;

function switches(view: View): Html {
  const { t, language, theme } = view;
  const query = view.query.toString();
  const back = query === "" ? view.path : `${view.path}?${query}`;
  const to = (values: Record<string, string>) =>
    `/console/preferences?${new URLSearchParams({ ...values, back })}`;
  const other = (Object.keys(LANGUAGES) as Language[]).find((one) => one !== language)!;
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  return html`<a class="switch" href="${to({ theme: next })}" title="${t("theme_next", { theme: t(THEME_WORDS[next]) })}">${icon(HALF_DARK)}<span class="sr">${t("theme")}: </span><span class="word">${t(THEME_WORDS[theme])}</span></a><a class="switch" href="${to({ language: other })}" lang="${other}" hreflang="${other}">${LANGUAGES[other]}</a>`;
}

/** A page's first line, with what can be done on it. */
export const heading = (title: string | Html, actions: Html = NONE, under: Html = NONE): Html =>
  html`<div class="heading"><div><h1>${title}</h1>${under}</div><div class="actions">${actions}</div></div>`;
