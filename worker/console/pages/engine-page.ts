// The engine: which model it runs, its slots as they fill, what the prefix cache spared, and how many requests at once suit the machine,
// beside what its memory could give at most.
import { html } from "hono/html";
import { sizeWords } from "../../amounts.ts";
import type { EngineHealth, EngineSlots, EngineTotals } from "../engine-view.ts";
import type { State } from "../state.ts";
import { heading } from "./layout.ts";
import { badge, bar, command, empty, errorNote, facts, line, number, percent, since, time } from "./show.ts";
import { type Html, NONE, type Shown, type View } from "./view.ts";
import type { WordKey } from "./words.ts";

export type CatalogueEntry = { name: string; title: string; for: string; bytes: number | null };

export type EngineShown = {
  state: State;
  health: EngineHealth | null;
  slots: EngineSlots | null;
  totals: EngineTotals | null;
  models: readonly string[];
  /** Tokens that a slot holds at most. */
  context: number | null;
  catalogue: readonly CatalogueEntry[];
  /** Bytes a second that the memory can be read at, where that is known. */
  bandwidth: number | null;
};

export function enginePage(view: View, shown: EngineShown): Shown {
  const { t } = view;
  // Beside a measurement, or below the few words that stand in its place.
  const isMeasured =
    !shown.state.engine.isDemo && (shown.health?.slotsFrom?.measured?.readings.length ?? 0) > 0;
  const [beside, below] = isMeasured ? [about(view, shown), NONE] : [NONE, about(view, shown)];
  return {
    title: t("nav_engine"),
    before: heading(t("nav_engine"), html`<a class="button" href="/console/chat">${t("nav_chat")}</a>`),
    live: html`${now(view, shown)}<div class="grid main-side"><div class="stack">${calibration(view, shown)}${below}</div><div class="stack">${cache(view, shown)}${beside}</div></div>`,
    after: html`<div class="foot"></div>${models(view, shown)}`,
  };
}

const SLOT_STATES: Record<string, [string, WordKey]> = {
  idle: ["off", "slot_idle"],
  prefill: ["wait", "slot_prefill"],
  decode: ["run", "slot_decode"],
};

function now(view: View, { state, slots, context }: EngineShown): Html {
  const { t } = view;
  const { engine } = state;
  const trouble = engine.error ? errorNote(view, engine.error) : NONE;
  if (!engine.answers && slots === null)
    return html`${trouble}<section class="panel">${empty(t("engine_away"), engine.error ? t("engine_away_hint") : t("is_starting"))}</section>`;
  if (slots === null)
    return html`${trouble}<section class="panel">${empty(t("other_engine"), t("other_engine_hint", { model: line(engine.model, 80) }))}</section>`;
  const most = context ?? Math.max(512, ...slots.slots.map(({ tokens }) => tokens));
  return html`${trouble}<section class="panel"><div class="head"><h2>${t("slots")}</h2><p class="soft small">${t("slots_now", { rate: number(view, slots.tokensPerSecond, 1), n: slots.waiting.count })}</p></div><ul class="slots">${slots.slots.map(
    ({ id, state: is, tokens, since: from, class: whose }) => {
      const [mark, name] = SLOT_STATES[is] ?? ["off", "slot_idle"];
      return html`<li class="slot" data-key="slot-${id}"><p>${badge(mark, t(name))}<span class="soft">${is === "idle" ? NONE : html`${t(whose === "interactive" ? "class_chat" : "class_job")} · ${since(view, Date.parse(from) || view.now)}`}</span></p>${bar(tokens / most, is === "decode" ? "" : "quiet")}<p class="soft small last">${is === "idle" ? html`&nbsp;` : t("tokens_n", { n: number(view, tokens) })}</p></li>`;
    },
  )}</ul></section>`;
}

function calibration(view: View, { health, bandwidth, state }: EngineShown): Html {
  const { t } = view;
  const from = health?.slotsFrom;
  const measured = from?.measured;
  const head = html`<h2>${t("calibration")}</h2>`;
  if (state.engine.isDemo)
    return html`<section class="panel">${head}<p class="soft">${t("calibration_demo")}</p></section>`;
  if (!measured || measured.readings.length === 0) {
    const why =
      from?.from === "setting"
        ? t("calibration_set")
        : from?.from === "default"
          ? t("calibration_default")
          : t("calibration_none");
    return html`<section class="panel">${head}<p class="soft">${why}</p><p>${command("kamado engine calibrate --model MODEL.gguf")}</p></section>`;
  }
  const bytes = measured.modelBytes ?? null;
  const ceiling = bandwidth !== null && bytes !== null && bytes > 0 ? bandwidth / bytes : null;
  const best = Math.max(...measured.readings.map(({ tokensPerSecond }) => tokensPerSecond));
  const total = health?.slots.total;
  const rows = measured.readings.map(({ width, tokensPerSecond: rate }) => {
    const share = ceiling === null ? null : rate / (ceiling * width);
    return html`<tr${width === total ? html` class="best"` : ""}><th scope="row">${width}${width === total ? html` <span class="badge run">${t("in_use")}</span>` : ""}</th><td class="num">${number(view, rate, 1)}</td><td class="wide">${bar(rate / best, width === total ? "" : "quiet")}</td><td class="num wide">${number(view, rate / width, 1)}</td><td class="num">${ceiling === null ? "–" : number(view, ceiling * width, 1)}</td><td class="num">${share === null ? "–" : percent(view, share)}</td></tr>`;
  });
  const ceilingWords =
    ceiling === null
      ? t("ceiling_unknown")
      : t("ceiling_words", {
          bandwidth: number(view, bandwidth! / 1e9),
          size: sizeWords(bytes!),
          one: number(view, ceiling, 1),
        });
  return html`<section class="panel">${head}<div class="scroll" tabindex="0" role="region" aria-label="${t("calibration")}"><table class="measured"><thead><tr><th scope="col">${t("at_once")}</th><th scope="col" class="num">${t("tokens_s")}</th><th scope="col" class="wide"><span class="sr">${t("share")}</span></th><th scope="col" class="num wide">${t("each")}</th><th scope="col" class="num">${t("ceiling")}</th><th scope="col" class="num">${t("reached")}</th></tr></thead><tbody>${rows}</tbody></table></div><p class="soft small foot">${ceilingWords} ${measured.prefillTokensPerSecond ? t("prefill_rate", { n: number(view, measured.prefillTokensPerSecond) }) : ""} ${from?.measuredAt ? html`${t("measured")} ${time(view, from.measuredAt)}` : ""}${from?.steady === false ? html` ${t("not_steady")}` : ""}</p></section>`;
}

function cache(view: View, { totals, slots }: EngineShown): Html {
  const { t } = view;
  const prefixes = slots?.inside?.prefixes ?? null;
  if (totals === null)
    return html`<section class="panel"><h2>${t("prefix_cache")}</h2><p class="soft">${t("cannot_be_read")}</p></section>`;
  const all = totals.evaluated + totals.cached;
  const share = all === 0 ? 0 : totals.cached / all;
  return html`<section class="panel"><h2>${t("prefix_cache")}</h2><p class="big">${percent(view, share)}</p>${bar(share, "good")}<p class="soft small foot">${t("cache_words", { cached: number(view, totals.cached), all: number(view, all) })}${prefixes === null ? "" : html` ${t("prefixes_kept", { n: number(view, prefixes.count), size: sizeWords(prefixes.bytes) })}`}</p></section>`;
}

function about(view: View, { state, health, totals }: EngineShown): Html {
  const { t } = view;
  const memory = health?.memory;
  return html`<section class="panel"><h2>${t("facts")}</h2>${facts([
    [t("model"), line(state.engine.model, 200)],
    health?.quantization ? [t("quantization"), line(health.quantization, 40)] : null,
    health?.backend ? [t("backend"), line(health.backend, 40)] : null,
    health?.images === null || health?.images === undefined
      ? null
      : [t("pictures"), t(health.images ? "yes" : "no")],
    memory ? [t("memory"), sizeWords(memory.residentBytes)] : null,
    memory?.estimatedBytes ? [t("memory_estimated"), sizeWords(memory.estimatedBytes)] : null,
    totals ? [t("written_tokens"), number(view, totals.generated)] : null,
    [t("address"), html`<code>${line(state.engine.url, 200)}</code>`],
  ])}</section>`;
}

function models(view: View, { models: served, catalogue, state }: EngineShown): Html {
  const { t } = view;
  const list =
    served.length === 0
      ? NONE
      : html`<p>${t("models_served")} ${served.slice(0, 30).map((one) => html`<code>${line(one, 100)}</code> `)}</p>`;
  return html`<section class="panel stack"><h2>${t("models")}</h2>${list}<p class="soft">${t(state.engine.isDemo ? "models_demo" : "models_words")} ${command("kamado model pull NAME")}</p>${
    catalogue.length === 0
      ? NONE
      : html`<details><summary>${t("models_catalogue", { n: catalogue.length })}</summary><div class="scroll" tabindex="0" role="region" aria-label="${t("models")}"><table><thead><tr><th scope="col">${t("name")}</th><th scope="col">${t("good_for")}</th><th scope="col" class="num">${t("size")}</th></tr></thead><tbody>${catalogue.map((one) => html`<tr><th scope="row"><code>${one.name}</code><br><span class="soft small">${one.title}</span></th><td>${one.for}</td><td class="num">${one.bytes === null ? "–" : sizeWords(one.bytes)}</td></tr>`)}</tbody></table></div></details>`
  }</section>`;
}
