// What every page of the console knows of its reader: language, light or dark, the address asked for, and whether he may change anything.
import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { html } from "hono/html";
import { type Language, languageOf } from "../language.ts";
import { type Words, wordsIn } from "./words.ts";

export type Html = ReturnType<typeof html>;

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export type View = {
  language: Language;
  /** A text in the reader's language; `{name}` in it becomes the value of that name. */
  t: Words;
  theme: Theme;
  path: string;
  query: URLSearchParams;
  /** Epoch milliseconds. */
  now: number;
  /** Whether buttons that change something are shown. The server refuses them in any case. */
  mayChange: boolean;
};

/** A page without its frame. `live` is sent again whenever it has changed, as long as somebody looks at the page. */
export type Shown = {
  title: string;
  before?: Html;
  live?: Html;
  after?: Html;
  script?: "chat";
  status?: 200 | 400 | 404 | 413 | 422 | 500 | 502 | 503;
};

/** Names of cookies; they hold no secret. */
export const LANGUAGE_COOKIE = "kamado_language";
export const THEME_COOKIE = "kamado_theme";

export function viewOf(context: Context, now: number, mayChange: boolean): View {
  const { pathname, searchParams } = new URL(context.req.url);
  const language = languageOf(getCookie(context, LANGUAGE_COOKIE), context.req.header("accept-language"));
  const theme = getCookie(context, THEME_COOKIE);
  return {
    language,
    t: wordsIn(language),
    theme: THEMES.find((one) => one === theme) ?? "auto",
    path: pathname,
    query: searchParams,
    now,
    mayChange,
  };
}

/** The address of the same page with other values in its query; `null` takes one away. */
export function withQuery(
  { path, query }: Pick<View, "path" | "query">,
  changes: Record<string, string | null>,
): string {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes))
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  const text = next.toString();
  return text === "" ? path : `${path}?${text}`;
}

export const NONE = html``;
