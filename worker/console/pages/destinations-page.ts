// Where results go: whether each receiver takes them, why not, and sending again what it missed.
import { html } from "hono/html";
import type { DestinationRow } from "../../api/services.ts";
import { heading } from "./layout.ts";
import { badge, empty, line, number, time } from "./show.ts";
import { type Html, NONE, type Shown, type View } from "./view.ts";

export function destinationsPage(view: View, rows: readonly DestinationRow[]): Shown {
  const { t } = view;
  const head = html`${heading(t("nav_destinations"), NONE, html`<p class="soft">${t("destinations_words")}</p>`)}`;
  if (rows.length === 0)
    return {
      title: t("nav_destinations"),
      before: head,
      live: html`<div class="panel">${empty(t("no_destinations_title"), t("no_destinations"))}</div>`,
    };
  return {
    title: t("nav_destinations"),
    before: head,
    live: html`<div class="stack">${rows.map((row) => card(view, row))}</div>`,
  };
}

const LOOK = {
  on: ["good", "circuit_on"],
  paused: ["warn", "circuit_paused"],
  off: ["bad", "circuit_off"],
  failing: ["warn", "circuit_failing"],
} as const;

function card(
  view: View,
  { key, to, state, reason, since, delivered, failed, lastAt }: DestinationRow,
): Html {
  const { t, mayChange } = view;
  const [mark, name] = LOOK[state === "on" && delivered === 0 && failed > 0 ? "failing" : state];
  const resend =
    mayChange && (state !== "on" || failed > 0)
      ? html`<form method="post" action="/console/destinations/resend"><input type="hidden" name="key" value="${key}"><button class="small-button${state === "on" ? "" : " primary"}">${t("resend")}</button></form>`
      : NONE;
  return html`<section class="panel" data-key="${key}"><div class="between"><h2 class="break">${line(to, 300)}</h2><span>${badge(mark, t(name))}</span></div>${
    reason === null
      ? NONE
      : html`<p class="note ${state === "off" ? "bad" : "warn"}">${line(reason, 500)}${since === null ? "" : html` <span class="soft small">${t("since")} ${time(view, since)}</span>`}</p>`
  }<div class="between foot"><p class="soft small">${t("delivered_n", { n: number(view, delivered) })} · ${t("failed_n", { n: number(view, failed) })}${lastAt === null ? "" : html` · ${t("last")} ${time(view, lastAt)}`}</p>${resend}</div></section>`;
}
