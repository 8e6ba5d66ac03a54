// One job: what went in, what came out, how long each station took, where the result went, and the same job on other models.
import { html } from "hono/html";
import type { JobDetail, Station } from "../../api/services.ts";
import { jobAddress, tookOf } from "./jobs-page.ts";
import { heading } from "./layout.ts";
import { markdownView } from "./markdown-view.ts";
import {
  bar,
  errorNote,
  facts,
  json,
  length,
  line,
  lines,
  number,
  percent,
  stateBadge,
  time,
} from "./show.ts";
import { type Html, NONE, type Shown, type View } from "./view.ts";
import type { WordKey } from "./words.ts";

export type JobView = {
  job: JobDetail;
  /** The same job on other models: what it repeats, and what repeats it. */
  others: readonly JobDetail[];
  models: readonly string[];
};

const OPEN = ["queued", "waiting", "running", "retrying"];

export function jobPage(view: View, shown: JobView): Shown {
  const { job } = shown;
  return { title: line(job.kind, 80), live: drawJob(view, shown) };
}

function drawJob(view: View, shown: JobView): Html {
  const { t } = view;
  const { job, others } = shown;
  const under = html`<p class="soft small break"><code>${line(job.id, 128)}</code> <button class="link small only-js" data-copy="${job.id}">${t("copy")}</button></p>`;
  return html`${heading(html`${line(job.kind, 80)}`, html`<span role="status">${stateBadge(view, job.state)}</span>`, under)}
${waitingNote(view, job)}<div class="grid main-side"><div class="stack">${outcome(view, job)}${others.length > 0 ? compared(view, job, others) : NONE}<section class="panel"><h2>${t("input")}</h2>${inputOf(view, job)}</section>${deliveries(view, job)}</div>
<div class="stack">${about(view, job)}${waterfall(view, job.stations)}${actions(view, shown)}</div></div>`;
}

function waitingNote(view: View, { line: place, state }: JobDetail): Html {
  const { t } = view;
  if (place === null || !OPEN.includes(state) || state === "running") return NONE;
  const position = place.position === null ? t("position_unknown") : t("position", { n: place.position });
  return html`<p class="note plain">${position}${place.startsAt === null ? "" : html` ${t("starts_at")} ${time(view, place.startsAt)}`}</p>`;
}

function outcome(view: View, job: JobDetail): Html {
  const { t } = view;
  const { progress, output, error, outputNote } = job;
  const isOver = job.endedAt !== null;
  const note = outputNote === null ? NONE : html`<p class="soft small">${line(outputNote)}</p>`;
  if (output !== undefined && output !== null)
    return html`<section class="panel"><h2>${t("output")}</h2>${outputOf(view, output)}${note}</section>`;
  if (error !== null && job.state !== "succeeded")
    return html`<section class="panel"><h2>${t(isOver ? "error" : "last_error")}</h2>${errorNote(view, error)}</section>`;
  if (isOver)
    return html`<section class="panel"><h2>${t("output")}</h2>${outputNote === null ? html`<p class="soft">${t("no_output")}</p>` : note}</section>`;
  return html`<section class="panel"><h2>${t("output")}</h2><p class="soft">${t("output_comes")}</p>${
    progress === null
      ? NONE
      : html`<p class="between"><span>${line(progress.what ?? t("progress"))}</span><span>${percent(view, progress.done)}</span></p>${bar(progress.done)}`
  }</section>`;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The probabilities that an output of a decision holds, the most probable first. */
function probabilitiesIn(output: unknown): [string, number][] {
  if (!isRecord(output)) return [];
  const { probabilities, probability, answer } = output;
  if (isRecord(probabilities)) {
    const all = Object.entries(probabilities).filter(
      (one): one is [string, number] => typeof one[1] === "number" && one[1] >= 0 && one[1] <= 1,
    );
    return all.toSorted(([, one], [, other]) => other - one).slice(0, 20);
  }
  if (typeof probability !== "number" || probability < 0 || probability > 1) return [];
  // Yes and no: the probability is that of yes.
  if (["y", "n", "uncertain"].includes(String(answer)))
    return [["y", probability] as [string, number], ["n", 1 - probability] as [string, number]].toSorted(
      ([, one], [, other]) => other - one,
    );
  return typeof output.action === "string" ? [[output.action, probability]] : [["probability", probability]];
}

const YES_NO: Record<string, WordKey> = { y: "answer_y", n: "answer_n", uncertain: "answer_uncertain" };

export function outputOf(view: View, output: unknown): Html {
  const { t } = view;
  if (!isRecord(output))
    return typeof output === "string" ? html`<p class="text answer">${lines(output)}</p>` : json(output);
  const { answer, choice, text, markdown } = output;
  // It says for people what the other fields say.
  if (typeof markdown === "string" && markdown !== "")
    return html`${markdownView(markdown)}<details class="as-json"><summary>JSON</summary>${json(output)}</details>`;
  const said = [answer, choice].find((one) => typeof one === "string") as string | undefined;
  const head =
    said === undefined
      ? NONE
      : html`<p class="big">${line(said, 200)}${YES_NO[said] && said !== t(YES_NO[said]) ? html` <small class="soft answer">${t(YES_NO[said])}</small>` : ""}</p>`;
  const bars = probabilitiesIn(output);
  const shown = ["answer", "choice", "text", "probability", "probabilities"];
  const rest = Object.entries(output).filter(
    ([name, value]) =>
      !shown.includes(name) || (name !== "text" && typeof value === "object" && name !== "probabilities"),
  );
  return html`${head}${typeof text === "string" ? html`<p class="text answer">${lines(text)}</p>` : NONE}${
    bars.length > 0
      ? html`<ul class="bars" aria-label="${t("probabilities")}">${bars.map(([name, value], at) => html`<li${at === 0 ? html` class="best"` : ""}><span class="break">${line(name, 80)}</span>${bar(value, at === 0 ? "" : "quiet")}<span class="num">${percent(view, value, 1)}</span></li>`)}</ul>`
      : NONE
  }${rest.length > 0 ? fields(view, Object.fromEntries(rest)) : NONE}<details class="as-json"><summary>JSON</summary>${json(output)}</details>`;
}

function fields(view: View, values: Record<string, unknown>): Html {
  return facts(
    Object.entries(values).map(([name, value]) => [line(name, 80), shownValue(view, value)] as const),
  );
}

function shownValue(view: View, value: unknown): Html | string {
  if (typeof value === "string")
    return value.length > 200 || value.includes("\n")
      ? html`<div class="text" tabindex="0">${lines(value)}</div>`
      : line(value);
  if (typeof value === "number") return number(view, value, 4);
  if (typeof value === "boolean" || value === null) return String(value);
  if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one !== "object"))
    return html`<ul>${value.slice(0, 100).map((one) => html`<li>${line(one, 1_000)}</li>`)}</ul>`;
  if (Array.isArray(value) && value.length > 0 && value.every(isFlat))
    return html`<ol>${value.slice(0, 100).map((one) => html`<li>${fields(view, one)}</li>`)}</ol>`;
  return json(value);
}

/** Such as an answer with its question and its evidence. */
const isFlat = (value: unknown): value is Record<string, unknown> =>
  isRecord(value) && Object.values(value).every((one) => typeof one !== "object" || one === null);

const SHOWABLE = /^data:image\/(png|jpeg|webp|gif|avif);base64,[A-Za-z0-9+/=]+$/;
const PICTURE_NAME = /image|picture|photo|frame/i;

/** Where the job found no picture, the browser would show a broken one. */
const NO_PICTURE = ["object_not_found", "image_undecodable"];

function inputOf(view: View, { id, input, inputNote, error }: JobDetail): Html {
  const note = inputNote === null ? NONE : html`<p class="soft small">${line(inputNote)}</p>`;
  if (input === undefined) return note;
  if (!isRecord(input)) return html`${json(input)}${note}`;
  const isMissing = error !== null && NO_PICTURE.includes(error.code);
  const pictures = Object.entries(input).filter(
    ([name, value]) => !isMissing && typeof value === "string" && PICTURE_NAME.test(name),
  ) as [string, string][];
  const rest = Object.fromEntries(
    Object.entries(input).map(([name, value]) => [name, SHOWABLE.test(String(value)) ? "data:…" : value]),
  );
  return html`${pictures.map(([name, address]) => picture(view, id, name, address))}${fields(view, rest)}${note}<details><summary>JSON</summary>${json(input)}</details>`;
}

/** Pictures of other sites are not fetched: their address is shown. */
function picture({ t }: View, id: string, name: string, address: string): Html {
  const from = SHOWABLE.test(address)
    ? address
    : address.startsWith("s3://")
      ? `${jobAddress(id)}/picture?field=${encodeURIComponent(name)}`
      : null;
  return from === null
    ? NONE
    : html`<p><img class="picture" src="${from}" alt="${t("picture_of", { field: line(name, 60) })}" loading="lazy"></p>`;
}

function about(view: View, job: JobDetail): Html {
  const { t } = view;
  const { receipt } = job;
  const cached =
    receipt && receipt.cachedTokens > 0
      ? ` (${t("from_cache", { n: number(view, receipt.cachedTokens) })})`
      : "";
  return html`<section class="panel"><h2>${t("facts")}</h2>${facts([
    [t("sent"), time(view, job.sentAt, "full")],
    [t("ended"), time(view, job.endedAt, "full")],
    [t("took"), tookOf(view, job)],
    [t("attempts"), number(view, job.attempts)],
    [t("model"), job.model === null ? "–" : line(job.model, 200)],
    receipt?.engine ? [t("nav_engine"), line(receipt.engine, 100)] : null,
    [t("tokens_in"), `${number(view, job.promptTokens)}${cached}`],
    [t("tokens_out"), number(view, job.completionTokens)],
    job.tenant === null ? null : [t("tenant"), line(job.tenant, 128)],
    job.joules === null ? null : [t("energy"), `${number(view, job.joules, 1)} J`],
    receipt?.worker ? [t("worker"), line(receipt.worker, 100)] : null,
    job.replayOf === null
      ? null
      : [
          t("replay_of"),
          html`<a href="${jobAddress(job.replayOf)}"><code>${line(job.replayOf, 128)}</code></a>`,
        ],
  ])}</section>`;
}

const STATIONS: Record<string, WordKey> = {
  queue: "station_queue",
  wait: "station_wait",
  inputs: "station_inputs",
  run: "station_run",
  store: "station_store",
  deliver: "station_deliver",
};

/** When each part of the job's time began and how long it took, on one scale. */
export function waterfall(view: View, stations: readonly Station[]): Html {
  const { t } = view;
  if (stations.length === 0) return NONE;
  const begin = Math.min(...stations.map(({ at }) => at));
  const end = Math.max(...stations.map(({ at, tookMs }) => at + tookMs), begin + 1);
  const share = (ms: number) => Math.round((ms / (end - begin)) * 1_000) / 10;
  const rows = stations.map(({ name, at, tookMs, attempt }) => {
    const label = STATIONS[name] ? t(STATIONS[name]) : line(name, 40);
    const again = attempt !== undefined && attempt > 1 ? ` (${attempt})` : "";
    return html`<tr><th scope="row">${label}${again}</th><td><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" height="8"/><rect class="fill ${STATIONS[name] ? name : ""}" x="${Math.min(99, share(at - begin))}" width="${Math.max(1, share(tookMs))}" height="8"/></svg></td><td class="num">${length(view, tookMs)}</td></tr>`;
  });
  return html`<section class="panel"><h2>${t("timing")}</h2><table class="water"><caption class="sr">${t("timing")}</caption><thead class="sr"><tr><th scope="col">${t("station")}</th><th scope="col">${t("share")}</th><th scope="col">${t("took")}</th></tr></thead><tbody>${rows}</tbody></table></section>`;
}

function deliveries(view: View, { deliver, deliveries: tries }: JobDetail): Html {
  const { t } = view;
  const targets = deliver.map((one) => Object.entries(one)[0]!);
  const list =
    targets.length === 0
      ? html`<p class="soft small">${t("delivers_to_topic")}</p>`
      : html`<ul class="small">${targets.map(([way, to]) => html`<li><b>${line(way, 20)}</b> <span class="soft break">${line(withoutQuery(String(to)), 300)}</span></li>`)}</ul>`;
  if (tries.length === 0)
    return html`<section class="panel"><h2>${t("deliveries")}</h2>${list}<p class="soft small">${t("no_deliveries")}</p></section>`;
  return html`<section class="panel"><h2>${t("deliveries")}</h2><div class="scroll" tabindex="0" role="region" aria-label="${t("deliveries")}"><table><thead><tr><th scope="col">${t("when")}</th><th scope="col">${t("to")}</th><th scope="col" class="num wide">${t("try")}</th><th scope="col">${t("outcome")}</th><th scope="col" class="num wide">${t("took")}</th></tr></thead><tbody>${tries.map(
    (one) =>
      html`<tr><td class="when">${time(view, one.at)}</td><td class="break">${line(one.to, 300)}</td><td class="num wide">${one.attempt}</td><td>${
        one.outcome === "delivered"
          ? html`<span class="badge good"><i class="dot" aria-hidden="true"></i>${t("delivered")}</span>`
          : html`<span class="badge bad"><i class="dot" aria-hidden="true"></i>${t(one.outcome === "failed" ? "try_failed" : one.outcome === "refused" ? "try_refused" : "try_held")}</span>`
      } ${one.status ?? ""} ${one.error ? html`<code>${line(one.error, 300)}</code>` : ""}${one.nextAt ? html`<br><span class="soft small">${t("next_try")} ${time(view, one.nextAt)}</span>` : ""}</td><td class="num wide">${length(view, one.tookMs)}</td></tr>`,
  )}</tbody></table></div></section>`;
}

/** An address may carry a secret in its query. */
const withoutQuery = (address: string): string =>
  address.replace(/^(https?:\/\/)[^/@]*@/, "$1").replace(/\?.*$/s, "?…");

/** The results of the same job on several models, beside each other. */
function compared(view: View, job: JobDetail, others: readonly JobDetail[]): Html {
  const { t } = view;
  const all = [job, ...others].toSorted((one, other) => (one.sentAt ?? 0) - (other.sentAt ?? 0));
  return html`<section class="panel" id="compared"><h2>${t("compared")}</h2><div class="beside">${all.map(
    (one) =>
      html`<article class="slot" data-key="${one.id}"><p><b>${one.model === null ? line(one.policy?.model ?? "–", 80) : line(one.model, 80)}</b>${stateBadge(view, one.state)}</p>${
        one.output !== undefined && one.output !== null
          ? outputOf(view, one.output)
          : one.error
            ? errorNote(view, one.error)
            : html`<p class="soft">${t("output_comes")}</p>`
      }<p class="soft small"><span>${t("tokens_out")}: ${number(view, one.completionTokens)} · ${tookOf(view, one)}</span>${one.id === job.id ? html`<span>${t("this_job")}</span>` : html`<a href="${jobAddress(one.id)}">${t("open")}</a>`}</p></article>`,
  )}</div></section>`;
}

function actions(view: View, { job, models }: JobView): Html {
  const { t, mayChange } = view;
  if (!mayChange) return NONE;
  const to = (what: string) => `${jobAddress(job.id)}/${what}`;
  const cancel = html`<form method="post" action="${to("cancel")}" class="form" data-key="cancel"><p class="soft small">${t("cancel_help")}</p><div class="actions"><button class="danger">${t("cancel")}</button></div></form>`;
  return html`<section class="panel stack" aria-labelledby="do"><h2 id="do">${t("actions")}</h2>${OPEN.includes(job.state) ? cancel : NONE}<form method="post" action="${to("replay")}" class="form" data-key="replay"><div class="field"><label for="model">${t("replay_on")}</label><p class="help" id="model-help">${t("replay_help")}</p><input id="model" name="model" list="models" aria-describedby="model-help" placeholder="${job.model === null ? "" : line(job.model, 80)}" autocomplete="off"><datalist id="models">${models.map((one) => html`<option value="${one}"></option>`)}</datalist></div><div class="actions"><button class="${job.endedAt === null ? "" : "primary"}">${t("replay")}</button></div></form></section>`;
}
