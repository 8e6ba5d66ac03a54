// Charts as SVG, drawn by the server, so that they need no script and follow the colours of the page. Each has a text for those who do not
// see it and its numbers as a table.
import { html } from "hono/html";
import { number } from "./show.ts";
import type { Html, View } from "./view.ts";

const WIDTH = 600;
const HEIGHT = 120;

export type Series = { name: string; look: string; values: readonly number[] };
export type Chart = {
  title: string;
  series: readonly Series[];
  since: number;
  stepMs: number;
  /** The top of the scale, where it is known; else the highest value counts. */
  top?: number | undefined;
  unit?: string;
  digits?: number;
  /** What the chart says, in words. */
  says: string;
};

/** Columns that stand on each other, one for each step. */
export const columns = (view: View, chart: Chart): Html => figure(view, chart, drawColumns(view, chart));

/** A filled line for the first series. */
export const area = (view: View, chart: Chart): Html => figure(view, chart, drawArea(view, chart));

function figure(view: View, chart: Chart, drawing: Html): Html {
  const { title, series, says, unit = "" } = chart;
  const top = number(view, topOf(chart), chart.digits);
  return html`<figure class="chart"><figcaption><h3>${title}</h3>${
    series.length > 1
      ? html`<span class="legend">${series.map(({ name, look }) => html`<span><i class="key ${look}" aria-hidden="true"></i>${name}</span>`)}</span>`
      : ""
  }</figcaption>
<div class="plot"><span class="top" aria-hidden="true">${top}${unit === "" ? "" : ` ${unit}`}</span>${drawing}
<div class="ends" aria-hidden="true"><span>${momentOf(view, chart, 0)}</span><span>${view.t("now")}</span></div></div>
<p class="sr">${says}</p>${tableOf(view, chart)}</figure>`;
}

const topOf = ({ series, top }: Chart): number => {
  const steps = series[0]?.values.length ?? 0;
  const sums = Array.from({ length: steps }, (_, at) =>
    series.reduce((sum, { values }) => sum + (values[at] ?? 0), 0),
  );
  return Math.max(top ?? 0, ...sums, 1);
};

function momentOf({ language }: View, { since, stepMs }: Chart, at: number): string {
  const isLong = stepMs >= 3_600_000;
  return new Intl.DateTimeFormat(language, {
    ...(isLong && { month: "short", day: "numeric" }),
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(new Date(since + at * stepMs));
}

function drawColumns(view: View, chart: Chart): Html {
  const { series, digits = 0 } = chart;
  const steps = series[0]?.values.length ?? 0;
  const top = topOf(chart);
  const width = WIDTH / Math.max(1, steps);
  const gap = Math.min(2, width / 4);
  const stacks = Array.from({ length: steps }, (_, at) => {
    let y = HEIGHT;
    const parts = series.map(({ look, values }) => {
      const height = ((values[at] ?? 0) / top) * (HEIGHT - 4);
      y -= height;
      return height > 0
        ? html`<rect class="${look}" x="${round(at * width + gap / 2)}" y="${round(y)}" width="${round(width - gap)}" height="${round(height)}"/>`
        : "";
    });
    const words = series.map(({ name, values }) => `${name}: ${number(view, values[at] ?? 0, digits)}`);
    return html`<g><title>${momentOf(view, chart, at)} · ${words.join(" · ")}</title><rect class="hit" x="${round(at * width)}" y="0" width="${round(width)}" height="${HEIGHT}"/>${parts}</g>`;
  });
  return svg(stacks);
}

function drawArea(view: View, chart: Chart): Html {
  const { series, digits = 0 } = chart;
  const { values = [], look = "" } = series[0] ?? {};
  const top = topOf(chart);
  const width = WIDTH / Math.max(1, values.length - 1);
  const points = values.map(
    (value, at) => [round(at * width), round(HEIGHT - (value / top) * (HEIGHT - 4))] as const,
  );
  const path = points.map(([x, y], at) => `${at === 0 ? "M" : "L"}${x} ${y}`).join("");
  const hits = values.map(
    (value, at) =>
      html`<g><title>${momentOf(view, chart, at)} · ${number(view, value, digits)}</title><rect class="hit" x="${round((at - 0.5) * width)}" y="0" width="${round(width)}" height="${HEIGHT}"/></g>`,
  );
  return svg([
    html`<path class="under ${look}" d="${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z"/><path class="line ${look}" d="${path}"/>`,
    ...hits,
  ]);
}

const svg = (content: readonly Html[]): Html =>
  html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true"><path class="grid" d="M0 0.5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}"/>${content}</svg>`;

/** Only the steps in which something happened. */
function tableOf(view: View, chart: Chart): Html {
  const { series, digits = 0 } = chart;
  const steps = Array.from({ length: series[0]?.values.length ?? 0 }, (_, at) => at);
  const shown = steps.filter((at) => series.some(({ values }) => (values[at] ?? 0) > 0));
  if (shown.length === 0) return html``;
  return html`<details class="numbers"><summary>${view.t("as_table")}</summary><div class="scroll" tabindex="0" role="region" aria-label="${chart.title}"><table><thead><tr><th scope="col">${view.t("time")}</th>${series.map(({ name }) => html`<th scope="col" class="num">${name}</th>`)}</tr></thead>
<tbody>${shown.map((at) => html`<tr><th scope="row">${momentOf(view, chart, at)}</th>${series.map(({ values }) => html`<td class="num">${number(view, values[at] ?? 0, digits)}</td>`)}</tr>`)}</tbody></table></div></details>`;
}

const round = (value: number) => Math.round(value * 10) / 10;
