// Jobs that come by the clock: when each runs next, how its last runs went, and changing them.
import { html } from "hono/html";
import { jobAddress } from "./jobs-page.ts";
import { heading } from "./layout.ts";
import { badge, empty, errorNote, facts, line, type ShownError, time } from "./show.ts";
import { type Html, NONE, type Shown, type View } from "./view.ts";

export type ScheduleRow = {
  name: string;
  cron: string;
  timezone: string;
  kind: string;
  input: unknown;
  enabled: boolean;
  /** The owner's file is only read. */
  source: "file" | "console";
  /** Epoch milliseconds. */
  next: number | null;
  last: { at: number; outcome: string } | null;
  job: { id: string; sentAt: number } | null;
  /** Why it cannot run. */
  problem: string | null;
};

/** Throws errors with a code for what cannot be. */
export type SchedulesService = {
  list(): ScheduleRow[];
  add(written: unknown): Promise<unknown>;
  edit(name: string, written: object): Promise<unknown>;
  remove(name: string): Promise<void>;
  runNow(name: string): Promise<{ id: string }>;
};

const PATH = "/console/schedules";

export type Edited = { texts: ReadonlyMap<string, string>; error?: ShownError | undefined };

export function schedulesPage(
  view: View,
  { rows, kinds, edited }: { rows: readonly ScheduleRow[] | null; kinds: readonly string[]; edited?: Edited },
): Shown {
  const { t, mayChange } = view;
  const head = heading(t("nav_schedules"), NONE, html`<p class="soft">${t("schedules_words")}</p>`);
  if (rows === null)
    return {
      title: t("nav_schedules"),
      before: html`${head}<div class="panel">${empty(t("schedules_away"), t("schedules_away_hint"))}</div>`,
    };
  const list =
    rows.length === 0
      ? html`<div class="panel">${empty(t("no_schedules_title"), mayChange ? t("no_schedules") : "")}</div>`
      : html`<div class="stack">${rows.map((row) => card(view, row))}</div>`;
  return {
    title: t("nav_schedules"),
    status: edited?.error ? 422 : 200,
    before: html`${head}${list}${mayChange ? form(view, kinds, edited) : NONE}`,
  };
}

function card(view: View, row: ScheduleRow): Html {
  const { t, mayChange } = view;
  const { name, job, last, next, problem } = row;
  const button = (what: string, label: string, look = "") =>
    html`<form method="post" action="${PATH}/${what}"><input type="hidden" name="name" value="${name}"><button class="small-button ${look}">${label}</button></form>`;
  const own =
    row.source === "file"
      ? html`<span class="soft small">${t("schedule_file")}</span>`
      : html`<a class="button small-button" href="${PATH}?edit=${encodeURIComponent(name)}#edit">${t("edit")}</a>${button("remove", t("remove"), "danger")}`;
  const buttons = mayChange
    ? html`<div class="actions foot">${button("run", t("run_now"))}${button(row.enabled ? "pause" : "resume", t(row.enabled ? "pause" : "resume"))}${own}</div>`
    : NONE;
  return html`<section class="panel" data-key="${name}"><div class="between"><h2>${line(name, 100)}</h2>${badge(row.enabled ? "good" : "off", t(row.enabled ? "schedule_on" : "schedule_paused"))}</div>${problem === null ? NONE : html`<p class="note bad">${line(problem, 500)}</p>`}${facts(
    [
      [
        t("cron"),
        html`<code>${line(row.cron, 100)}</code> <span class="soft">${line(row.timezone, 60)}</span>`,
      ],
      [t("job"), line(row.kind, 80)],
      [t("next_run"), next === null ? "–" : time(view, next)],
      [
        t("last_run"),
        last === null
          ? html`<span class="soft">${t("never_ran")}</span>`
          : html`${time(view, last.at)} <span class="soft">${line(last.outcome, 100)}</span>${job === null ? "" : html` <a href="${jobAddress(job.id)}">${t("open_job")}</a>`}`,
      ],
    ],
  )}${buttons}</section>`;
}

function form(view: View, kinds: readonly string[], edited: Edited | undefined): Html {
  const { t } = view;
  const texts = edited?.texts ?? new Map<string, string>();
  const value = (name: string) => texts.get(name) ?? "";
  const field = (name: string, label: string, help: string, placeholder: string) =>
    html`<div class="field"><label for="s-${name}">${label}</label><p class="help" id="s-${name}-help">${help}</p><input type="text" id="s-${name}" name="${name}" value="${value(name)}" placeholder="${placeholder}" aria-describedby="s-${name}-help"></div>`;
  return html`<div class="foot"></div><section class="panel stack" id="edit"><h2>${t(texts.size > 0 && !edited?.error ? "schedule_edit" : "schedule_add")}</h2>${edited?.error ? html`<div role="alert">${errorNote(view, edited.error)}</div>` : NONE}<form method="post" action="${PATH}#edit" class="form">${value("was") === "" ? NONE : html`<input type="hidden" name="was" value="${value("was")}">`}<div class="grid two">${field("name", t("name"), t("schedule_name_help"), "front-door")}${field("cron", t("cron"), t("cron_help"), "*/10 * * * *")}<div class="field"><label for="s-kind">${t("kind")}</label><select id="s-kind" name="kind">${kinds.map((one) => html`<option${one === value("kind") ? html` selected` : ""}>${line(one, 80)}</option>`)}</select></div>${field("timezone", t("time_zone"), t("time_zone_help"), "Asia/Tokyo")}</div><div class="field"><label for="s-input">${t("input")} (JSON)</label><textarea id="s-input" name="input" class="mono" rows="4" spellcheck="false">${value("input") || "{}"}</textarea></div><div class="actions"><button class="primary">${t("save")}</button></div></form></section>`;
}
