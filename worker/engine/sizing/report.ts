// A calibration as text: a table for the terminal, one line for the log.
import type { Calibration } from "./calibration-store.ts";
import { chooseWidth, DEFAULT_SLOTS, isDisturbed, type LeftOut, type Measured } from "./choose.ts";

const WHY: Record<LeftOut["why"], string> = {
  time: "time was up",
  memory: "not enough memory for so many",
  ended: "the model's answers ended too early",
  failed: "it failed",
};

/** The lines of a table. An arrow marks the number of slots in use, if it was measured. */
export function tableOf({ subject, measured, measuredAt }: Calibration, slots: number): string[] {
  const { cpu, cores, gpu, backend, version, model } = subject;
  const one = measured.readings.find(({ width }) => width === 1)?.tokensPerSecond;
  const rows = measured.readings.map(({ width, tokensPerSecond: rate }) => [
    width === slots ? "->" : "",
    String(width),
    rate.toFixed(1),
    (rate / width).toFixed(1),
    one === undefined ? "" : `${(rate / one).toFixed(2)}x`,
  ]);
  const prefill = measured.prefillTokensPerSecond;
  return [
    `${model.name} with ${backend} ${version} on ${gpu ?? cpu}, ${cores} cores, ${measuredAt.slice(0, 10)}`,
    ...columns([["", "slots", "tokens/s", "each", "against 1"], ...rows]),
    ...(prefill === null ? [] : [`prompts are read at ${Math.round(prefill)} tokens/s`]),
    ...notMeasured(measured.leftOut),
    ...(measured.sampling === undefined
      ? []
      : [`measured at ${measured.sampling}, ${steadinessOf(measured)}`]),
    `${count(slots)}: ${whyOf(measured, slots)}`,
  ];
}

/** The calibration in one line, for the log. */
export function summaryOf({ measured }: Calibration, slots: number): string {
  const rates = measured.readings.map(
    ({ width, tokensPerSecond }) => `${width}: ${tokensPerSecond.toFixed(1)}`,
  );
  const parts = [`tokens/s by slots ${rates.join(", ") || "unknown"}`, ...notMeasured(measured.leftOut)];
  return `${count(slots)}: ${whyOf(measured, slots)} (${parts.join("; ")})`;
}

const steadinessOf = (measured: Measured) =>
  measured.steady
    ? "steady"
    : isDisturbed(measured)
      ? "not steady, so not kept"
      : "not complete, so not kept";

const count = (slots: number) => `${slots} ${slots === 1 ? "slot" : "slots"}`;

function whyOf(measured: Measured, slots: number): string {
  const chosen = chooseWidth(measured);
  if (slots < (chosen ?? DEFAULT_SLOTS)) return "memory allows no more";
  if (chosen !== undefined) return "the fewest that come near the best";
  if (isDisturbed(measured))
    return "the default, because other work disturbed the measurement; it is done again while the engine is idle, and at the next start";
  const isShort = measured.leftOut.some(({ why }) => why === "ended");
  return `the default, because ${isShort ? "this model's answers are too short to be measured" : "too little could be measured"}`;
}

/** A line for each reason, with all the widths that were left out for it. */
function notMeasured(leftOut: readonly LeftOut[]): string[] {
  const reasons = Map.groupBy(
    leftOut,
    ({ why, words }) => WHY[why] + (words === undefined ? "" : `: ${words}`),
  );
  return Array.from(
    reasons,
    ([why, all]) => `not measured at ${all.map(({ width }) => width).join(", ")}: ${why}`,
  );
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join("  "));
}
