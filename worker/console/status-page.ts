// One small page: what the worker is doing now. No script beyond reloading itself.
import { html } from "hono/html";
import { outcomeWords } from "../logging/job-events.ts";
import { localTime } from "../logging/terminal.ts";
import { pauseWords } from "../power/pulling-pause.ts";
import type { State } from "./state.ts";

/** On the worker's clock: the page has no script that could know its reader's. */
const time = (at: number) => localTime(at).slice(11);

/** `style`: where its stylesheet is. */
export function statePage(state: State, style: string) {
  const {
    status,
    queue,
    deliveries,
    engine,
    bucket,
    startCheck,
    disk,
    paused,
    topic,
    running,
    delivering,
    waiting,
    slots,
    jobs,
  } = state;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="3"><title>Kamado: ${status}</title><link rel="stylesheet" href="${style}"></head>
<body>
<h1><b>Kamado</b> is ${status}</h1>
${engine.isDemo ? html`<p class="note">The toy demo model is loaded. <code>kamado model</code> shows real ones and fetches them.</p>` : ""}
${paused ? html`<p class="note">${pauseWords(paused)}. Jobs stay in the queue, running jobs go on.</p>` : ""}
<dl>
<dt>slots</dt><dd>${running} of ${slots} busy, ${delivering} delivering, ${waiting} waiting</dd>
<dt>engine</dt><dd>${engine.model}, ${engine.answers ? "answers" : "does not answer"} <code>${engine.url}</code>${engine.error ? html`<br><b>${engine.error.code}</b>: ${engine.error.message} ${engine.error.hint}` : ""}</dd>
<dt>queue</dt><dd>${queue.health} <code>${queue.url}</code></dd>
${deliveries?.hint ? html`<dt>deliveries</dt><dd>${deliveries.health} <code>${deliveries.url}</code> ${deliveries.hint}</dd>` : ""}
<dt>bucket</dt><dd>${bucket.health} <code>${bucket.name}</code> ${bucket.hint ?? ""}</dd>
${startCheck?.error ? html`<dt>start check</dt><dd><b>${startCheck.error.code}</b>: ${startCheck.error.message} ${startCheck.error.hint}</dd>` : ""}
${disk?.hint ? html`<dt>disk</dt><dd>disk_full <code>${disk.folder}</code> ${disk.hint}</dd>` : ""}
<dt>topic</dt><dd><code>${topic ?? "none"}</code></dd>
</dl>
<table><thead><tr><th>ended</th><th>job</th><th>kind</th><th>outcome</th></tr></thead><tbody>
${jobs.map((job) => html`<tr><td>${time(job.at)}</td><td><code>${job.id}</code></td><td>${job.kind}</td><td>${outcomeWords(job)}</td></tr>`)}
</tbody></table>
${jobs.length === 0 ? html`<p>No job has come yet.</p>` : ""}
</body></html>`;
}
