// Messages that were given up: why, what is in them, and how they come back or go for good.
import { html } from "hono/html";
import type { DeadLetterFilter, DeadLetterRow } from "../../api/services.ts";
import { jobAddress } from "./jobs-page.ts";
import { heading } from "./layout.ts";
import { badge, empty, facts, line, lines, number, time } from "./show.ts";
import { type Html, NONE, type Shown, type View, withQuery } from "./view.ts";

const PATH = "/console/dead-letters";

export function deadFilterOf(query: URLSearchParams, ids: readonly string[] = []): DeadLetterFilter {
  const queue = query.get("queue");
  const text = query.get("text")?.trim();
  return {
    ...(ids.length > 0 && { ids }),
    ...((queue === "jobs" || queue === "deliveries") && { queue }),
    ...(text && { text }),
  };
}

export type DeadLetters = { items: readonly DeadLetterRow[]; mayHaveMore: boolean };

export function deadLettersPage(view: View, letters: DeadLetters): Shown {
  const { t } = view;
  const isFiltered = Object.keys(deadFilterOf(view.query)).length > 0;
  const none = isFiltered
    ? empty(
        t("nothing_found"),
        t("nothing_found_hint"),
        html`<p><a class="button" href="${PATH}">${t("show_all")}</a></p>`,
      )
    : empty(t("no_dead_title"), t("no_dead"));
  return {
    title: t("nav_dead_letters"),
    before: html`${heading(t("nav_dead_letters"), NONE, html`<p class="soft">${t("dead_words")}</p>`)}${filters(view)}${
      letters.items.length === 0 ? html`<div class="panel">${none}</div>` : list(view, letters)
    }`,
  };
}

function filters({ t, query, path }: View): Html {
  const queue = query.get("queue") ?? "";
  const option = (value: string, name: string) =>
    html`<option value="${value}"${value === queue ? html` selected` : ""}>${name}</option>`;
  return html`<form class="filters" method="get" action="${path}" role="search"><label class="grow"><span class="sr">${t("search")}</span><input type="search" name="text" value="${query.get("text") ?? ""}" placeholder="${t("search_dead")}"></label><label><span class="sr">${t("queue")}</span><select name="queue">${option("", t("both_queues"))}${option("jobs", t("dead_jobs"))}${option("deliveries", t("dead_deliveries"))}</select></label><button>${t("search")}</button></form>`;
}

function list(view: View, { items, mayHaveMore }: DeadLetters): Html {
  const { t, mayChange } = view;
  const n = mayHaveMore ? t("or_more", { n: number(view, items.length) }) : number(view, items.length);
  const target = (what: string) => withQuery({ ...view, path: `${PATH}/${what}` }, {});
  const buttons = mayChange
    ? html`<div class="between foot"><div class="actions"><button class="primary" formaction="${target("redrive")}" name="which" value="chosen">${t("redrive_chosen")}</button><button formaction="${target("redrive")}" name="which" value="all">${t("redrive_all", { n })}</button></div><div class="actions"><button class="danger" formaction="${target("purge")}" name="which" value="chosen">${t("purge_chosen")}</button><button class="danger" formaction="${target("purge")}" name="which" value="all">${t("purge_all", { n })}</button></div></div>`
    : NONE;
  const table = html`<section class="panel"><table class="jobs"><caption class="sr">${t("nav_dead_letters")}</caption><thead><tr>${mayChange ? html`<th scope="col" class="c-pick"><span class="sr">${t("choose")}</span></th>` : NONE}<th scope="col">${t("job")}</th><th scope="col" class="c-reason wide">${t("reason")}</th><th scope="col" class="c-when num">${t("when")}</th></tr></thead><tbody>${items.map((one) => row(view, one))}</tbody></table></section>`;
  return mayChange
    ? html`<form method="post" action="${target("redrive")}">${table}${buttons}</form>`
    : table;
}

function row(view: View, { messageId, queue, job, kind, at, reason, to, tries }: DeadLetterRow): Html {
  const { t, mayChange } = view;
  const about = queue === "deliveries" ? `${t("delivery_to")} ${line(to ?? "?", 200)}` : line(job, 128);
  return html`<tr data-key="${messageId}">${mayChange ? html`<td><input type="checkbox" name="ids" value="${messageId}" aria-label="${t("choose_one", { job: line(job, 128) })}"></td>` : NONE}<td><a class="row" href="${PATH}/${encodeURIComponent(messageId)}"><span class="kind">${line(kind ?? "?", 80)}</span> ${queue === "deliveries" ? badge("wait", t("delivery")) : NONE}<span class="sum">${about}</span><span class="sum only-phone">${line(reason.code)} ${line(reason.message)}</span></a></td><td class="wide break"><code>${line(reason.code, 80)}</code> <span class="soft">${line(reason.message, 240)}</span>${tries === null ? NONE : html` <span class="soft small">(${t("tries", { n: tries })})</span>`}</td><td class="num when">${time(view, at)}</td></tr>`;
}

export function deadLetterPage(view: View, letter: DeadLetterRow): Shown {
  const { t, mayChange } = view;
  const { messageId, job, kind, at, reason, to, tries, body, queue } = letter;
  const form = (what: "redrive" | "purge", look: string, name: string) =>
    html`<form method="post" action="${PATH}/${what}"><input type="hidden" name="which" value="chosen"><input type="hidden" name="ids" value="${messageId}"><button class="${look}">${name}</button></form>`;
  return {
    title: t("dead_letter"),
    before: html`${heading(line(kind ?? t("dead_letter"), 80), mayChange ? html`${form("redrive", "primary", t("redrive"))}${form("purge", "danger", t("purge"))}` : NONE, html`<p class="soft small break"><code>${line(job, 128)}</code></p>`)}
<div class="note bad"><p><code>${line(reason.code)}</code> ${lines(reason.message, 2_000)}</p></div>
<div class="grid main-side"><section class="panel"><h2>${t("message")}</h2>${body === undefined ? html`<p class="soft">${t("no_body")}</p>` : html`<pre class="code" tabindex="0">${pretty(body)}</pre>`}</section>
<section class="panel"><h2>${t("facts")}</h2>${facts([
      [t("queue"), t(queue === "jobs" ? "dead_jobs" : "dead_deliveries")],
      [t("when"), time(view, at, "full")],
      to === null ? null : [t("to"), line(to, 500)],
      tries === null ? null : [t("attempts"), tries],
      [t("job"), html`<a href="${jobAddress(job)}"><code>${line(job, 128)}</code></a>`],
    ])}</section></div><p class="foot"><a class="button" href="${PATH}">${t("go_back")}</a></p>`,
  };
}

function pretty(body: string): string {
  try {
    return lines(JSON.stringify(JSON.parse(body), null, 2), 60_000);
  } catch {
    return lines(body, 60_000);
  }
}

/** Asks before many messages are sent back or removed. */
export function deadConfirmPage(
  view: View,
  {
    action,
    count,
    mayHaveMore,
    ids,
  }: { action: "redrive" | "purge"; count: number; mayHaveMore: boolean; ids: readonly string[] },
): Shown {
  const { t } = view;
  const isPurge = action === "purge";
  const n = mayHaveMore ? t("or_more", { n: number(view, count) }) : number(view, count);
  const title = t(isPurge ? "purge" : "redrive");
  const back = withQuery({ ...view, path: PATH }, {});
  const form = html`<form method="post" action="${withQuery(view, {})}" class="actions"><input type="hidden" name="sure" value="yes"><input type="hidden" name="which" value="${ids.length > 0 ? "chosen" : "all"}">${ids.map((id) => html`<input type="hidden" name="ids" value="${id}">`)}<button class="${isPurge ? "danger sure" : "primary"}">${t(isPurge ? "purge_do" : "redrive_do", { n })}</button><a class="button" href="${back}">${t("go_back")}</a></form>`;
  return {
    title,
    before: html`${heading(title)}<section class="panel stack">${
      count === 0
        ? html`<p>${t("nothing_chosen")}</p><p><a class="button" href="${back}">${t("go_back")}</a></p>`
        : html`<p>${t(isPurge ? "purge_ask" : "redrive_ask", { n })}</p>${form}`
    }</section>`,
  };
}
