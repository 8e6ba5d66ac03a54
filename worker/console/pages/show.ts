// How values look on the pages: numbers, times, lengths, states, errors, and values from outside. What is written by others is escaped by
// `html`, and made printable first, so that it cannot turn the writing direction or hide.
import { html } from "hono/html";
import type { JobState } from "../../api/services.ts";
import { printable } from "../../printable.ts";
import { type Html, NONE, type View } from "./view.ts";
import type { WordKey } from "./words.ts";

/** A text from outside in one line. */
export const line = (text: unknown, max = 300): string => printable(String(text ?? ""), { max });
/** The same with its line ends. */
export const lines = (text: unknown, max = 20_000): string =>
  printable(String(text ?? ""), { max, lines: true });

export const number = ({ language }: View, value: number, digits = 0): string =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

export const percent = ({ language }: View, fraction: number, digits = 0): string =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(fraction);

/** Small sums need more digits to say anything. */
export const dollars = ({ language }: View, value: number): string =>
  new Intl.NumberFormat(language, {
    style: "currency",
    currency: "USD",
    minimumFractionDigits: 2,
    maximumFractionDigits: value !== 0 && value < 0.1 ? 4 : 2,
  }).format(value);

export function length({ t }: View, ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return t("unit_seconds", { n: (ms / 1_000).toFixed(1) });
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return t("unit_seconds", { n: seconds });
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return t("unit_minutes", { m: minutes, s: seconds % 60 });
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? t("unit_hours", { h: hours, m: minutes % 60 })
    : t("unit_days", { d: Math.floor(hours / 24) });
}

/** In the server's time zone; the script puts it into the reader's. */
export function time({ language }: View, at: number | string | null, form: "full" | "short" = "short"): Html {
  if (at === null) return html`<span class="soft">–</span>`;
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return html`<span>${line(at, 24)}</span>`;
  const style =
    form === "full"
      ? ({ dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" } as const)
      : ({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const);
  const text = new Intl.DateTimeFormat(language, style).format(date);
  return html`<time datetime="${date.toISOString()}" data-form="${form}">${text}</time>`;
}

/** How long something has gone on; the script counts on. */
export const since = (view: View, at: number): Html =>
  html`<span data-since="${at}">${length(view, view.now - at)}</span>`;

const FORM: Record<JobState, { mark: string; key: WordKey }> = {
  queued: { mark: "wait", key: "state_queued" },
  waiting: { mark: "wait", key: "state_waiting" },
  running: { mark: "run", key: "state_running" },
  delivering: { mark: "run", key: "state_delivering" },
  retrying: { mark: "warn", key: "state_retrying" },
  succeeded: { mark: "good", key: "state_succeeded" },
  failed: { mark: "bad", key: "state_failed" },
  expired: { mark: "off", key: "state_expired" },
  canceled: { mark: "off", key: "state_canceled" },
};

export const stateName = ({ t }: View, state: JobState): string => t(FORM[state].key);

export const badge = (mark: string, text: string): Html =>
  html`<span class="badge ${mark}"><i class="dot" aria-hidden="true"></i>${text}</span>`;

export const stateBadge = (view: View, state: JobState): Html =>
  badge(FORM[state].mark, stateName(view, state));

/** A share of something as a bar. What it says stands beside it as text. */
export function bar(fraction: number, look = ""): Html {
  const width = Math.max(0, Math.min(100, Math.round(fraction * 1_000) / 10));
  return html`<svg class="bar ${look}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" height="8"/><rect class="fill" width="${width}" height="8"/></svg>`;
}

export type ShownError = { code: string; message: string; hint?: string | undefined };

export const errorNote = ({ t }: View, { code, message, hint }: ShownError): Html =>
  html`<div class="note bad"><p><code>${line(code)}</code> ${lines(message, 2_000)}</p>${hint ? html`<p class="soft">${t("what_to_do")}: ${line(hint, 1_000)}</p>` : ""}</div>`;

export const json = (value: unknown): Html =>
  html`<pre class="code" tabindex="0">${lines(JSON.stringify(value, null, 2) ?? "", 60_000)}</pre>`;

/** Where there is nothing yet, the next step stands. */
export const empty = (title: string, words: string, action: Html = NONE): Html =>
  html`<div class="empty"><p class="empty-title">${title}</p><p>${words}</p>${action}</div>`;

export const command = (text: string): Html => html`<code class="command">${text}</code>`;

/** Rows of name and value. */
export const facts = (rows: readonly (readonly [string, Html | string | number] | null)[]): Html =>
  html`<dl class="facts">${rows.filter((row) => row !== null).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
