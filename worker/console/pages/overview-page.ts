// The first page: how the worker is in one sentence, what waits and runs, what today has brought, and what the machine does.
import { html } from "hono/html";
import { sizeWords } from "../../amounts.ts";
import type { Counts, Overview as History, JobRow } from "../../api/services.ts";
import type { Reading } from "../../power/reading.ts";
import type { EngineSlots } from "../engine-view.ts";
import type { State } from "../state.ts";
import { area, columns } from "./charts.ts";
import { jobTable, noJobs } from "./jobs-page.ts";
import {
  command,
  dollars,
  errorNote,
  facts,
  length,
  line,
  number,
  percent,
  type ShownError,
  since,
} from "./show.ts";
import { type Html, NONE, type Shown, type View, withQuery } from "./view.ts";
import type { WordKey } from "./words.ts";

/** US dollars for a million tokens, as a hosted model costs. */
export type HostedPrice = { input: number; output: number };

/** Of the history. */
export type Past = {
  counts: Counts;
  history: Pick<History, "today" | "queue">;
  latest: readonly JobRow[];
  /** Of the job that has waited longest, in epoch milliseconds. */
  oldest: number | null;
  /** Why nothing of it is known. */
  error?: ShownError;
};

const NOTHING = { succeeded: 0, failed: 0, promptTokens: 0, completionTokens: 0, runMs: null, totalMs: null };
const NO_STEPS = { succeeded: [], failed: [], promptTokens: [], completionTokens: [], busy: [] };
export const NO_PAST: Past = {
  counts: { since: 0, stepMs: 1, ...NO_STEPS },
  history: { today: { since: 0, ...NOTHING }, queue: null },
  latest: [],
  oldest: null,
};

export type Overview = Past & {
  state: State;
  range: Range;
  slots: EngineSlots | null;
  price: HostedPrice;
  /** How many dead letters there are. */
  dead: number;
};

export const RANGES = {
  hour: { name: "range_hour", stepMs: 60_000, steps: 60 },
  day: { name: "range_day", stepMs: 1_800_000, steps: 48 },
  week: { name: "range_week", stepMs: 3 * 3_600_000, steps: 56 },
} as const satisfies Record<string, { name: WordKey; stepMs: number; steps: number }>;
export type Range = keyof typeof RANGES;
export const rangeOf = (text: string | null): Range => (text === "day" || text === "week" ? text : "hour");

export function overviewPage(view: View, overview: Overview): Shown {
  const { t } = view;
  return { title: t("nav_overview"), live: drawOverview(view, overview) };
}

function drawOverview(view: View, overview: Overview): Html {
  const { state, latest, error, dead } = overview;
  return html`${sentence(view, state)}${troubles(view, state)}${deadNote(view, dead)}${error ? errorNote(view, error) : NONE}${tiles(view, overview)}${error ? NONE : charts(view, overview)}
<div class="grid main-side"><section class="panel"><div class="head"><h2>${view.t("latest_jobs")}</h2><a href="/console/jobs" class="small">${view.t("all_jobs")}</a></div>${
    latest.length > 0 ? jobTable(view, latest, { isShort: true }) : error ? NONE : noJobs(view)
  }</section>
<div class="stack">${money(view, overview)}${machine(view, state)}</div></div>`;
}

const LAMPS = {
  READY: "good",
  BUSY: "good",
  STARTING: "warn",
  DRAINING: "warn",
  PAUSED: "off",
  UNHEALTHY: "bad",
} as const;

function sentence(view: View, state: State): Html {
  const { paused } = state;
  const lamp = paused ? "off" : LAMPS[state.status];
  const under = html`<p class="soft">${engineWords(view, state)}</p>`;
  return html`<div class="status ${lamp}"><span class="lamp" aria-hidden="true"></span><div role="status"><h1>${paused ? pauseWords(view, paused) : words(view, state)}</h1>${under}</div></div>`;
}

const PAUSES: Record<string, WordKey> = {
  quiet_hours: "pause_quiet_hours",
  temperature: "pause_temperature",
  in_use: "pause_in_use",
};

function pauseWords({ t, language }: View, { policy, reason, until }: NonNullable<State["paused"]>): string {
  const why = PAUSES[policy] ? t(PAUSES[policy]) : line(reason);
  if (until === undefined) return t("is_paused", { reason: why });
  const form = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
  return t("is_paused_until", { reason: why, time: new Intl.DateTimeFormat(language, form).format(until) });
}

function words({ t }: View, { status, running, waiting }: State): string {
  if (status === "UNHEALTHY") return t("is_unhealthy");
  if (status === "STARTING") return t("is_starting");
  if (status === "DRAINING") return t("is_draining", { running });
  if (running === 0) return t("is_ready");
  if (waiting === 0) return t(running === 1 ? "is_busy_one" : "is_busy", { running });
  return t(running === 1 ? "is_busy_one_waiting" : "is_busy_waiting", { running, waiting });
}

function engineWords({ t }: View, { engine, process }: State): string {
  const words = t(engine.answers ? "engine_answers" : "engine_silent", { model: line(engine.model, 100) });
  return `${words} ${t("worker_memory", { size: sizeWords(process.residentBytes) })}`;
}

function troubles(view: View, state: State): Html {
  const { t } = view;
  const { queue, bucket, deliveries, engine, startCheck, disk } = state;
  const named = (name: string, health: string, hint: string | undefined) =>
    html`<div class="note bad"><p><b>${name}</b> <code>${line(health)}</code></p>${hint ? html`<p>${line(hint, 1_000)}</p>` : ""}</div>`;
  return html`${engine.isDemo ? html`<div class="note plain"><p>${t("demo_model")} ${command("kamado model list")}</p></div>` : NONE}${
    queue.health !== "ok" ? named(t("queue"), queue.health, queue.hint) : NONE
  }${bucket.answers ? NONE : named(t("bucket"), bucket.health, bucket.hint)}${
    deliveries?.hint ? named(t("outbox"), deliveries.health, deliveries.hint) : NONE
  }${engine.error ? errorNote(view, engine.error) : NONE}${startCheck?.error ? errorNote(view, startCheck.error) : NONE}${
    disk?.hint ? named(t("disk"), `disk_full ${disk.folder}`, disk.hint) : NONE
  }`;
}

const deadNote = (view: View, dead: number): Html =>
  dead === 0
    ? NONE
    : html`<div class="note warn"><p>${view.t("dead_note", { n: number(view, dead) })} <a href="/console/dead-letters">${view.t("nav_dead_letters")}</a></p></div>`;

function tiles(view: View, { state, history, oldest, slots, counts }: Overview): Html {
  const { t } = view;
  const { running, slots: all, delivering } = state;
  const waiting = Math.max(history.queue?.waiting ?? 0, 0) + state.waiting;
  const rate = slots?.tokensPerSecond ?? (counts.completionTokens.at(-1) ?? 0) / (counts.stepMs / 1_000);
  const { succeeded, failed } = history.today;
  const tile = (name: string, value: Html | string, under: Html | string) =>
    html`<li class="panel tile"><span class="name">${name}</span><span class="value">${value}</span><span class="under">${under}</span></li>`;
  return html`<ul class="grid tiles" aria-label="${t("now_title")}">${[
    tile(
      t("tile_waiting"),
      number(view, waiting),
      oldest === null ? t("nothing_waits") : html`${t("oldest_for")} ${since(view, oldest)}`,
    ),
    tile(
      t("tile_running"),
      html`${running}<small> / ${all}</small>`,
      html`${all <= 32 ? html`<span class="pips" aria-hidden="true">${Array.from({ length: all }, (_, at) => html`<i class="${at < running ? "on" : ""}"></i>`)}</span>` : NONE}${delivering > 0 ? t("delivering_n", { n: delivering }) : t("slots_busy")}`,
    ),
    tile(t("tile_rate"), number(view, rate, 1), t("tokens_now")),
    tile(
      t("tile_today"),
      number(view, succeeded + failed),
      failed === 0
        ? t("today_all_good")
        : html`<a href="/console/jobs?state=failed">${t("today_failed", { failed: number(view, failed) })}</a> · ${percent(view, succeeded / Math.max(1, succeeded + failed))} ${t("good")}`,
    ),
  ]}</ul>`;
}

function charts(view: View, { counts, range, state }: Overview): Html {
  const { t } = view;
  const { since, stepMs } = counts;
  // The step that has not ended yet would look like a fall.
  const whole = (values: readonly number[]) => values.slice(0, Math.max(1, values.length - 1));
  const rates = whole(counts.completionTokens).map((tokens) => tokens / (stepMs / 1_000));
  const ended = { good: sum(counts.succeeded), bad: sum(counts.failed) };
  const choose = (Object.keys(RANGES) as Range[]).map(
    (one) =>
      html`<a class="chip" href="${withQuery(view, { range: one === "hour" ? null : one })}"${one === range ? html` aria-current="true"` : ""}>${t(RANGES[one].name)}</a>`,
  );
  const slots = area(view, {
    title: t("chart_slots"),
    series: [{ name: t("chart_slots"), look: "ember", values: whole(counts.busy) }],
    since,
    stepMs,
    top: state.allSlots,
    digits: 1,
    says: t("chart_slots_says", { most: number(view, Math.max(0, ...counts.busy), 1), all: state.allSlots }),
  });
  const tokens = area(view, {
    title: t("chart_tokens"),
    series: [{ name: t("chart_tokens"), look: "quiet", values: rates }],
    since,
    stepMs,
    digits: 1,
    says: t("chart_tokens_says", { n: number(view, sum(counts.completionTokens)) }),
  });
  const outcomes = columns(view, {
    title: t("chart_ended"),
    series: [
      { name: t("succeeded"), look: "good", values: counts.succeeded },
      { name: t("failed"), look: "bad", values: counts.failed },
    ],
    since,
    stepMs,
    says: t("chart_ended_says", { good: number(view, ended.good), bad: number(view, ended.bad) }),
  });
  return html`<section class="panel" aria-labelledby="over-time"><div class="head"><h2 id="over-time">${t("over_time")}</h2><div class="chips-inline actions">${choose}</div></div><div class="grid three">${slots}${tokens}${outcomes}</div></section>`;
}

function money(view: View, { history, price }: Overview): Html {
  const { t } = view;
  const { promptTokens: input, completionTokens: output } = history.today;
  const cost = (input * price.input + output * price.output) / 1e6;
  return html`<section class="panel"><h2>${t("cost_title")}</h2><p class="big">${dollars(view, cost)}</p><p class="soft small">${t(
    "cost_words",
    {
      input: number(view, input),
      output: number(view, output),
      inputPrice: dollars(view, price.input),
      outputPrice: dollars(view, price.output),
    },
  )}</p></section>`;
}

const THERMAL: Record<string, WordKey> = {
  nominal: "thermal_nominal",
  fair: "thermal_fair",
  serious: "thermal_serious",
  critical: "thermal_critical",
};
const PRESSURE: Record<string, WordKey> = {
  normal: "pressure_normal",
  warn: "pressure_warn",
  critical: "pressure_critical",
};

function machine(view: View, { power, disk }: State): Html {
  const { t } = view;
  const reading: Partial<Reading> = power?.reading ?? {};
  const absent: Record<string, string> = reading.absent ?? {};
  const row = (name: WordKey, value: string | undefined, figure: string) =>
    [
      t(name),
      value ??
        html`<span class="soft">${t("cannot_be_read")}${absent[figure] ? `: ${line(absent[figure])}` : ""}</span>`,
    ] as const;
  const as = <T>(value: T | undefined, write: (value: T) => string) =>
    value === undefined ? undefined : write(value);
  const memory = as(reading.gpuMemoryBytes, (bytes) => ` · ${sizeWords(bytes)}`) ?? "";
  const watts = power?.watts;
  const gpu = as(reading.gpuPercent, (value) => `${number(view, value)} %${memory}`);
  const heat = [
    as(reading.temperature, (value) => `${number(view, value)} °C`),
    as(reading.thermalState, (value) => (THERMAL[value] ? t(THERMAL[value]) : line(value))),
  ].filter((one) => one !== undefined);
  return html`<section class="panel"><h2>${t("machine")}</h2>${
    !power?.reading
      ? html`<p class="soft small">${t("machine_unread")}</p>`
      : facts([
          row("gpu", gpu, "gpuPercent"),
          row(
            "memory",
            as(reading.memoryPressure, (value) => (PRESSURE[value] ? t(PRESSURE[value]) : line(value))),
            "memoryPressure",
          ),
          row("heat", heat.length > 0 ? heat.join(" · ") : undefined, "temperature"),
          row(
            "watts",
            as(watts, (value) => `${number(view, value, 1)} W`),
            "gpuWatts",
          ),
          reading.idleSeconds === undefined
            ? null
            : ([t("idle_for"), length(view, reading.idleSeconds * 1_000)] as const),
        ])
  }${(power?.ineffective ?? []).map(({ setting, reason }) => html`<p class="note warn small">${t("no_effect", { setting: line(setting, 60) })} ${line(reason)}</p>`)}${disk ? facts([[t("disk"), t("disk_free", { size: sizeWords(disk.freeBytes) })]]) : NONE}</section>`;
}

const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);
