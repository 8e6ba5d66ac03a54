// The pages for people who are not let in yet: one to sign in with a token, and one that says why they were refused. Whether a token is right,
// and how often one may be tried, is access.ts's.

import type { Context } from "hono";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { html } from "hono/html";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Access } from "../access/access.ts";
import { type Asking, isCrossSite, isOverTls } from "../access/asking.ts";
import { SESSION_SECONDS } from "../access/sessions.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { languageOf } from "./language.ts";
import type { StaticFiles } from "./static-files.ts";

export const SIGN_IN = "/sign-in";
export const SIGN_OUT = "/sign-out";
const COOKIE = "kamado_session";

export const STYLE = "sign-in.css";

const WORDS = {
  en: {
    title: "Sign in",
    intro: "This is somebody's own Kamado. Its owner has a token for it.",
    token: "Token",
    button: "Sign in",
    wrong: "This token is wrong. Check that all of it was copied.",
    empty: "Enter the token.",
    many: (minutes: number) => `Too many wrong tokens. Try again in ${minutes} min.`,
    help: "The token is what KAMADO_WEB_TOKEN or KAMADO_WEB_READ_TOKEN is set to. The second one lets you look, and change nothing.",
    refused: "You cannot see this page",
    again: "One moment…",
  },
  ja: {
    title: "サインイン",
    intro: "この Kamado は個人のものです。トークンは持ち主が管理しています。",
    token: "トークン",
    button: "サインイン",
    wrong: "トークンが違います。最後までコピーできているか確認してください。",
    empty: "トークンを入力してください。",
    many: (minutes: number) => `トークンの間違いが多すぎます。${minutes} 分後にもう一度お試しください。`,
    help: "トークンは KAMADO_WEB_TOKEN または KAMADO_WEB_READ_TOKEN の値です。後者では閲覧のみでき、変更はできません。",
    refused: "このページは表示できません",
    again: "お待ちください…",
  },
};
/** A path of this server, whatever was asked for: nobody is sent anywhere else after signing in. */
export function ownPath(wanted: unknown): string {
  if (typeof wanted !== "string" || !/^\/(?![/\\])/.test(wanted)) return "/";
  const here = "http://kamado.invalid";
  const url = URL.parse(wanted, here);
  if (!url || url.origin !== here) return "/";
  const path = `${url.pathname}${url.search}`;
  return path.startsWith("//") || path.startsWith(SIGN_IN) || path.startsWith(SIGN_OUT) ? "/" : path;
}

export const sessionOf = (context: Context): string | undefined => getCookie(context, COOKIE);

type Page = { context: Context; assets: StaticFiles; status: ContentfulStatusCode };

/** `refresh`: where the browser goes by itself. */
function page({ context, assets, status }: Page, title: string, content: unknown, refresh?: string) {
  context.header("vary", "accept-language");
  return context.html(
    html`<!doctype html>
<html lang="${languageFor(context)}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
${refresh === undefined ? "" : html`<meta http-equiv="refresh" content="0; url=${refresh}">`}
<title>${title} – Kamado</title><link rel="stylesheet" href="${assets.href(STYLE)}"></head>
<body><main><h1><b>Kamado</b> ${title}</h1>
${content}
</main></body></html>`,
    status,
  );
}

/** What is wrong with the token that was given, if one was. */
function form(to: Page, next: string, wrong?: string) {
  const words = wordsFor(to.context);
  // The name helps programs that keep passwords.
  const content = html`<p>${words.intro}</p>
<form method="post" action="${SIGN_IN}">
<input type="hidden" name="next" value="${next}">
<input class="name" type="text" name="username" value="kamado" autocomplete="username" tabindex="-1" aria-hidden="true" readonly>
<label for="token">${words.token}</label>
<input id="token" name="token" type="password" autocomplete="current-password" autocapitalize="off" spellcheck="false" required autofocus${
    wrong === undefined ? "" : html` aria-invalid="true" aria-describedby="wrong"`
  }>
${wrong === undefined ? "" : html`<p class="wrong" id="wrong" role="alert">${wrong}</p>`}
<button type="submit">${words.button}</button>
</form>
<p class="help">${words.help}</p>`;
  return page(to, words.title, content);
}

/** Why somebody with a browser was refused, where no token would help. */
export function refusalPage(to: Page, { code, message, hint }: KamadoError) {
  const words = wordsFor(to.context);
  return page(to, words.refused, html`<p lang="en"><b>${code}</b>: ${message} ${hint}</p>`);
}

/**
 * A cookie that is SameSite=Strict does not come along when somebody follows a link of another site. It does when our own page goes on to
 * the same address.
 */
function againPage(to: Page, path: string) {
  return page(to, wordsFor(to.context).again, "", path);
}

type SignIn = { access: Access; assets: StaticFiles; askingOf(context: Context): Asking; said: Said };
/** What is logged. */
type Said = (asking: Asking, what: string, error?: KamadoError) => void;

/** A token is short, and so is a path. Bytes. */
const MAX_FORM = 8 * 1024;

export function createSignIn({ access, assets, askingOf, said }: SignIn): Hono {
  const app = new Hono();
  const tooLong = (context: Context) => form({ context, assets, status: 413 }, "/", wordsFor(context).wrong);
  app.get(SIGN_IN, async (context) => {
    const next = ownPath(context.req.query("next"));
    const asking = askingOf(context);
    const error = await access.visitorOf(asking, sessionOf(context)).then(
      () => undefined,
      (thrown) => toKamadoError(thrown, "unauthorized"),
    );
    if (!error) return context.redirect(next, 303);
    if (context.req.header("sec-fetch-site") === "cross-site")
      return againPage({ context, assets, status: 200 }, `${SIGN_IN}?next=${encodeURIComponent(next)}`);
    if (!access.hasSignIn) return refusalPage({ context, assets, status: statusOf(error) }, error);
    return form({ context, assets, status: 200 }, next);
  });

  app.post(SIGN_IN, bodyLimit({ maxSize: MAX_FORM, onError: tooLong }), async (context) => {
    const asking = askingOf(context);
    const given = await context.req.parseBody().catch(() => ({}) as Record<string, unknown>);
    const next = ownPath(given.next);
    const token = typeof given.token === "string" ? given.token.trim() : "";
    if (token === "") return form({ context, assets, status: 400 }, next, wordsFor(context).empty);
    try {
      const { session, mayChange } = access.signIn(asking, token);
      setCookie(context, COOKIE, session, { ...cookieOf(asking), maxAge: SESSION_SECONDS });
      said(asking, mayChange ? "signed in" : "signed in, to read only");
      return context.redirect(next, 303);
    } catch (thrown) {
      const error = toKamadoError(thrown, "unauthorized");
      // Their number is bounded, as others are not.
      if (error.code === "unauthorized") said(asking, "refused to sign in", error);
      return refuseToken({ context, assets, status: statusOf(error) }, next, error);
    }
  });

  app.post(SIGN_OUT, (context) => {
    const asking = askingOf(context);
    if (isCrossSite(asking))
      return refusalPage({ context, assets, status: 403 }, new KamadoError("cross_site", "Sign out here."));
    const session = sessionOf(context);
    if (session !== undefined) access.signOut(session);
    deleteCookie(context, COOKIE, cookieOf(asking));
    return context.redirect(SIGN_IN, 303);
  });
  return app;
}

function refuseToken(to: Page, next: string, error: KamadoError) {
  const words = wordsFor(to.context);
  if (error.code === "cross_site") return refusalPage(to, error);
  const { retryAfterMs } = error.detail ?? {};
  if (retryAfterMs === undefined) return form(to, next, words.wrong);
  to.context.header("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  return form(to, next, words.many(Math.ceil(retryAfterMs / 60_000)));
}

const languageFor = ({ req }: Context) => languageOf(undefined, req.header("accept-language"));
const wordsFor = (context: Context) => WORDS[languageFor(context)];
const statusOf = (error: KamadoError) => error.status as ContentfulStatusCode;

const cookieOf = (asking: Asking) => ({
  path: "/",
  httpOnly: true,
  sameSite: "Strict" as const,
  secure: isOverTls(asking),
});
