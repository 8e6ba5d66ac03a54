// The list of jobs: live, searched, filtered, and acted on as a whole. What is filtered stands in the address.
import { html } from "hono/html";
import type { BulkAction, BulkOutcome, JobFilter, JobRow, JobState, Page } from "../../api/services.ts";
import { JOB_STATES } from "../../api/services.ts";
import { heading } from "./layout.ts";
import { command, empty, length, line, number, since, stateBadge, stateName, time } from "./show.ts";
import { type Html, NONE, type Shown, type View, withQuery } from "./view.ts";

export const noJobs = ({ t, mayChange }: View): Html => {
  if (!mayChange) return empty(t("no_jobs_title"), "");
  return empty(
    t("no_jobs_title"),
    t("no_jobs"),
    html`<p><a class="button primary" href="/console/submit">${t("submit_first")}</a></p><p>${command(`kamado enqueue prompt --wait --input '{"prompt": "Text: buy milk\\nTitle:"}'`)}</p>`,
  );
};

/** Groups of states that people look for. */
const GROUPS = {
  open: ["queued", "waiting", "running", "delivering", "retrying"],
  succeeded: ["succeeded"],
  failed: ["failed"],
  expired: ["expired", "canceled"],
} as const satisfies Record<string, readonly JobState[]>;
type Group = keyof typeof GROUPS;
const isGroup = (text: string): text is Group => text in GROUPS;
const isState = (text: string): text is JobState => (JOB_STATES as readonly string[]).includes(text);

const TIMES = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 } as const;

/** What an address asks for. A value that means nothing is no filter. */
export function filterOf(query: URLSearchParams, now: number): JobFilter {
  const state = query.get("state") ?? "";
  const states = isGroup(state) ? GROUPS[state] : isState(state) ? [state] : undefined;
  const span = TIMES[(query.get("within") ?? "") as keyof typeof TIMES] as number | undefined;
  const until = Number(query.get("until") ?? "");
  return {
    kind: query.get("kind") || undefined,
    states,
    tenant: query.get("tenant") || undefined,
    text: query.get("text")?.trim() || undefined,
    since: span === undefined ? undefined : now - span,
    until: Number.isFinite(until) && until > 0 ? until : undefined,
  };
}

export const isFiltered = (query: URLSearchParams): boolean =>
  ["state", "kind", "tenant", "text", "within"].some((name) => query.get(name));

export function jobsPage(
  view: View,
  { page, kinds, tenants }: { page: Page<JobRow>; kinds: readonly string[]; tenants: readonly string[] },
): Shown {
  const { t, mayChange } = view;
  const actions = mayChange
    ? html`<a class="button primary" href="/console/submit">${t("nav_submit")}</a>`
    : NONE;
  return {
    title: t("nav_jobs"),
    before: html`${heading(t("nav_jobs"), actions)}${groups(view)}${search(view, kinds, tenants)}`,
    live: drawJobs(view, page),
  };
}

function groups(view: View): Html {
  const { t, query } = view;
  const now = query.get("state") ?? "";
  const chip = (value: string, name: string) =>
    html`<a class="chip" data-filter href="${withQuery(view, { state: value, cursor: null })}"${now === value ? html` aria-current="true"` : ""}>${name}</a>`;
  return html`<nav class="chips" aria-label="${t("filter_state")}">${[
    chip("", t("all")),
    chip("open", t("group_open")),
    chip("succeeded", stateName(view, "succeeded")),
    chip("failed", stateName(view, "failed")),
    chip("expired", t("group_expired")),
  ]}</nav>`;
}

function search(view: View, kinds: readonly string[], tenants: readonly string[]): Html {
  const { t, query } = view;
  const option = (value: string, name: string, chosen: string | null) =>
    html`<option value="${value}"${value === (chosen ?? "") ? html` selected` : ""}>${name}</option>`;
  const [kind, within] = [query.get("kind"), query.get("within")];
  const shown = kind && !kinds.includes(kind) ? [...kinds, kind] : kinds;
  const tenant = query.get("tenant");
  const owners = tenant && !tenants.includes(tenant) ? [...tenants, tenant] : tenants;
  return html`<form class="filters" method="get" action="/console/jobs" role="search" data-search>
<label class="grow"><span class="sr">${t("search")}</span><input type="search" name="text" value="${query.get("text") ?? ""}" placeholder="${t("search_hint")}" autocomplete="off" enterkeyhint="search"></label>
<label><span class="sr">${t("kind")}</span><select name="kind">${option("", t("all_kinds"), kind)}${shown.map((one) => option(one, line(one, 60), kind))}</select></label>
<label><span class="sr">${t("filter_time")}</span><select name="within">${option("", t("any_time"), within)}${option("hour", t("range_hour"), within)}${option("day", t("range_day"), within)}${option("week", t("range_week"), within)}</select></label>
${query.get("state") ? html`<input type="hidden" name="state" value="${query.get("state")}">` : NONE}${owners.length > 0 ? html`<label><span class="sr">${t("tenant")}</span><select name="tenant">${option("", t("all_tenants"), tenant)}${owners.map((one) => option(one, line(one, 60), tenant))}</select></label>` : NONE}
<button>${t("search")}</button></form>`;
}

function drawJobs(view: View, { items, next }: Page<JobRow>): Html {
  const { t, query } = view;
  if (items.length === 0 && !isFiltered(query)) return html`<div class="panel">${noJobs(view)}</div>`;
  if (items.length === 0)
    return html`<div class="panel">${empty(t("nothing_found"), t("nothing_found_hint"), html`<p><a class="button" href="/console/jobs">${t("show_all")}</a></p>`)}</div>`;
  return html`<section class="panel" aria-label="${t("nav_jobs")}">${jobTable(view, items)}</section>
<div class="between foot">${bulkButtons(view)}${next === null ? NONE : html`<a class="button" href="${withQuery(view, { cursor: next })}" rel="next">${t("older")}</a>`}${query.get("cursor") ? html`<a class="button" href="${withQuery(view, { cursor: null })}">${t("newest")}</a>` : NONE}</div>`;
}

export function jobTable(
  view: View,
  items: readonly JobRow[],
  { isShort = false }: { isShort?: boolean } = {},
): Html {
  const { t } = view;
  return html`<table class="jobs"><caption class="sr">${t("nav_jobs")}</caption><thead><tr><th scope="col" class="c-state wide">${t("state")}</th><th scope="col">${t("job")}</th>${
    isShort
      ? NONE
      : html`<th scope="col" class="c-model wide">${t("model")}</th><th scope="col" class="c-num num wide">${t("tokens")}</th>`
  }<th scope="col" class="c-num num wide">${t("took")}</th><th scope="col" class="c-when num">${t("sent")}</th></tr></thead>
<tbody>${items.map((job) => row(view, job, isShort))}</tbody></table>`;
}

export const jobAddress = (id: string): string => `/console/jobs/${encodeURIComponent(id)}`;

function row(view: View, job: JobRow, isShort: boolean): Html {
  const { t } = view;
  const tokens = job.promptTokens + job.completionTokens;
  const under = job.error && job.state !== "succeeded" ? job.error.message : withoutAddresses(job.summary);
  return html`<tr data-key="${job.id}"><td class="wide">${stateBadge(view, job.state)}</td>
<td><a class="row" href="${jobAddress(job.id)}"><span class="between"><span><span class="kind">${line(job.kind, 80)}</span>${job.tenant === null ? NONE : html` <span class="soft small">${line(job.tenant, 60)}</span>`}</span><span class="only-phone">${stateBadge(view, job.state)}</span></span><span class="sum">${line(under, 160) || line(job.id, 128)}</span></a>${job.isDeadLettered ? html`<span class="badge bad">${t("dead_lettered")}</span>` : NONE}</td>${
    isShort
      ? NONE
      : html`<td class="wide"><span class="cut">${job.model === null ? "–" : line(job.model, 80)}</span></td><td class="num wide">${tokens > 0 ? number(view, tokens) : "–"}</td>`
  }<td class="num wide">${tookOf(view, job)}</td><td class="num when">${time(view, job.sentAt ?? job.receivedAt)}</td></tr>`;
}

/** Where a picture lies says less than what is asked about it. */
const withoutAddresses = (summary: string): string =>
  summary.replaceAll(/(?:s3:\/\/|data:)[^\s,"]+[\s,·]*/g, "").trim() || summary;

export function tookOf(view: View, { startedAt, endedAt }: JobRow): Html | string {
  if (startedAt === null) return "–";
  return endedAt === null ? since(view, startedAt) : length(view, endedAt - startedAt);
}

function bulkButtons(view: View): Html {
  const { t, query, mayChange } = view;
  if (!mayChange) return NONE;
  const state = query.get("state") ?? "";
  const isOpen = state === "open" || ["queued", "waiting", "running", "retrying"].includes(state);
  const to = (action: BulkAction) =>
    withQuery({ ...view, path: "/console/jobs/bulk" }, { action, cursor: null });
  return html`<div class="actions">${
    state === "" || isOpen
      ? html`<a class="button" data-filter href="${to("cancel")}">${t("bulk_cancel")}</a>`
      : NONE
  }${isOpen ? NONE : html`<a class="button" data-filter href="${to("replay")}">${t("bulk_replay")}</a>`}</div>`;
}

/** Asks before anything is done to many jobs, with their number. */
export function bulkPage(
  view: View,
  { action, count, isMore, until }: { action: BulkAction; count: number; isMore: boolean; until: number },
): Shown {
  const { t } = view;
  const title = t(action === "cancel" ? "bulk_cancel" : "bulk_replay");
  const back = withQuery({ ...view, path: "/console/jobs" }, { action: null, until: null });
  const target = withQuery(view, { until: String(until) });
  const n = isMore ? t("or_more", { n: number(view, count) }) : number(view, count);
  const what = html`<p>${t(action === "cancel" ? "bulk_cancel_ask" : "bulk_replay_ask", { n })}</p><p class="soft">${described(view)}</p>`;
  const form = html`<form method="post" action="${target}" class="actions"><button class="primary">${t(action === "cancel" ? "bulk_cancel_do" : "bulk_replay_do", { n })}</button><a class="button" href="${back}">${t("go_back")}</a></form>`;
  const none = html`<p>${t("bulk_none")}</p><p><a class="button" href="${back}">${t("go_back")}</a></p>`;
  return {
    title,
    before: html`${heading(title)}<section class="panel stack">${count === 0 ? none : html`${what}${form}`}</section>`,
  };
}

/** The filter in words. */
function described({ t, query }: View): string {
  const parts = ["text", "kind", "state", "tenant", "within"]
    .map((name) => [name, query.get(name)] as const)
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}: ${line(value, 100)}`);
  return parts.length === 0 ? t("bulk_all") : `${t("filter")}: ${parts.join(" · ")}`;
}

/** What came of it. */
export function outcomePage(
  view: View,
  title: string,
  { matched, done, failed }: BulkOutcome,
  back: { path: string; name: string },
): Shown {
  const { t } = view;
  return {
    title,
    before: html`${heading(title)}<section class="panel stack"><p class="note ${failed.length > 0 ? "warn" : "good"}" role="status">${t("bulk_done", { done: number(view, done), matched: number(view, matched) })}</p>${
      failed.length === 0
        ? NONE
        : html`<h2>${t("bulk_failed")}</h2><div class="scroll" tabindex="0" role="region" aria-label="${t("bulk_failed")}"><table><thead><tr><th scope="col">${t("job")}</th><th scope="col">${t("reason")}</th></tr></thead><tbody>${failed.slice(0, 100).map(({ id, code, message }) => html`<tr><td class="break"><code>${line(id)}</code></td><td class="break"><code>${line(code)}</code> ${line(message)}</td></tr>`)}</tbody></table></div>`
    }<p><a class="button" href="${back.path}">${back.name}</a></p></section>`,
  };
}
