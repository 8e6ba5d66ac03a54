// What `kamado map` says on standard error: a bar on a terminal, a line every few seconds in a pipe, and at the end what it came to.
import { lengthWords, plural } from "../../amounts.ts";
import { LiveBlock, paint, prose, table } from "../../logging/terminal.ts";
import { printable } from "../../printable.ts";
import type { Flags } from "../flags.ts";
import type { Item } from "../map/inputs.ts";
import type { Summary } from "../map/summary.ts";

const { stderr } = process;
const DRAW_MS = 500;
const SAY_MS = 5_000;
/** The rate is that of so long a time. */
const RATE_MS = 60_000;
const BAR = 24;

const count = (value: number) => value.toLocaleString("en-US");

type Counted = { total: number; wrong: number; first: readonly Item[] } | null;
type Mark = { at: number; done: number };

export class MapView {
  readonly #kind: string;
  readonly #isQuiet: boolean;
  readonly #block = new LiveBlock(stderr);
  readonly #timer: NodeJS.Timeout;
  #total: number | undefined;
  /** Inputs that did not become jobs: kept ones and wrong ones. */
  readonly #passed = { done: 0, failed: 0 };
  readonly #jobs = { done: 0, failed: 0 };
  /** Of jobs alone: what was done before took no time. */
  #marks: Mark[] = [];
  #said = "";

  constructor(kind: string, { quiet }: Flags) {
    this.#kind = kind;
    this.#isQuiet = quiet === true;
    const isLive = this.#block.isLive;
    this.#timer = setInterval(() => (isLive ? this.#draw() : this.#say()), isLive ? DRAW_MS : SAY_MS);
    this.#timer.unref();
  }

  counted(counted: Counted): void {
    if (!counted) return;
    this.#total = counted.total;
    if (counted.wrong === 0) return;
    this.note(
      `${plural(counted.wrong, "input")} of ${count(counted.total)} will fail, because of what is in them:`,
    );
    for (const { source, error } of counted.first) this.note(`  ${source}: ${error!.message}`);
  }

  where(words: string): void {
    if (!this.#isQuiet) this.#block.log(paint("dim", words, stderr));
    this.#marks = [{ at: performance.now(), done: 0 }];
  }

  note(words: string): void {
    if (!this.#isQuiet) this.#block.log(prose(paint([], words, stderr), stderr));
  }

  passed(isGood: boolean): void {
    this.#passed.done += 1;
    if (!isGood) this.#passed.failed += 1;
  }

  progress(done: number, failed: number): void {
    Object.assign(this.#jobs, { done, failed });
    const now = performance.now();
    if (now - (this.#marks.at(-1)?.at ?? 0) < DRAW_MS) return;
    this.#marks.push({ at: now, done });
    while (this.#marks.length > 2 && now - this.#marks[1]!.at > RATE_MS) this.#marks.shift();
  }

  stopping(): void {
    this.#block.log(
      "stopping: what is done is kept, and jobs without a result are canceled; once more ends at once",
    );
  }

  unfinished(path: string, done: number): void {
    const of = this.#total === undefined ? "" : ` of ${count(this.#total)}`;
    const text =
      done > 0
        ? `${count(done)}${of} are in ${path}; the same command with --resume goes on`
        : "nothing was done";
    stderr.write(`${prose(printable(text), stderr)}\n`);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#block.draw([]);
  }

  #draw(): void {
    if (this.#isQuiet) return;
    const total = this.#total;
    const { done } = this.#all();
    const share = total === undefined || total === 0 ? 0 : done / total;
    const filled = Math.round(share * BAR);
    const bar = total === undefined ? "" : `${"█".repeat(filled)}${"░".repeat(BAR - filled)}  `;
    this.#block.draw([`${bar}${this.#words()}`]);
  }

  #say(): void {
    const words = this.#words();
    if (this.#isQuiet || words === this.#said) return;
    this.#said = words;
    stderr.write(`${words}\n`);
  }

  #all() {
    return { done: this.#passed.done + this.#jobs.done, failed: this.#passed.failed + this.#jobs.failed };
  }

  #words(): string {
    const { done, failed } = this.#all();
    const total = this.#total;
    const first = this.#marks[0];
    const ms = first ? performance.now() - first.at : 0;
    const perMs = first && ms > 0 ? (this.#jobs.done - first.done) / ms : 0;
    const left = total === undefined || perMs <= 0 ? undefined : (total - done) / perMs;
    return [
      `${printable(this.#kind)}  ${count(done)}${total === undefined ? "" : ` of ${count(total)}`}`,
      ...(perMs > 0 ? [rateWords(perMs)] : []),
      ...(left === undefined || left <= 0 ? [] : [`${lengthWords(left)} left`]),
      ...(failed > 0 ? [`${count(failed)} failed`] : []),
    ].join(", ");
  }
}

function rateWords(perMs: number): string {
  const perSecond = perMs * 1_000;
  return perSecond >= 1 ? `${perSecond.toFixed(1)} a second` : `${(perSecond * 60).toFixed(1)} a minute`;
}

/** What it came to, for a terminal. */
export function summaryWords(summary: Summary): string {
  const { failures, kept, reused, ran, promptTokens, cachedTokens, completionTokens, inferenceMs, wallMs } =
    summary;
  const before = [
    ...(kept > 0 ? [`${count(kept)} were in the file before`] : []),
    ...(reused > 0 ? [`${count(reused)} in the bucket`] : []),
  ].join(", ");
  const reasons = Object.entries(failures).map(([code, times]) => `${count(times)} ${code}`);
  const speed = summary.speedUpAtMost;
  const rows = [
    ["succeeded", `${count(summary.succeeded)} of ${count(summary.inputs)}${before && ` (${before})`}`],
    ...(summary.failed > 0 ? [["failed", `${count(summary.failed)}: ${reasons.join(", ")}`]] : []),
    ["time", lengthWords(wallMs)],
    ...(ran > 0
      ? [
          [
            "tokens",
            `${count(promptTokens)} in (${count(cachedTokens)} cached), ${count(completionTokens)} out`,
          ],
        ]
      : []),
    ...(speed === null ? [] : [["speed-up", speedWords(speed, inferenceMs)]]),
  ] as const;
  const lines = rows.map(([name, value]) => `${paint("dim", name!.padEnd(11), stderr)}${value}`);
  return [...lines, ...costLines(summary)].join("\n");
}

/** Below one the jobs, or what is around them, were too few or too short to be at work together. */
function speedWords(speed: number, inferenceMs: number): string {
  const took = inferenceMs < 10_000 ? `${(inferenceMs / 1_000).toFixed(1)} s` : lengthWords(inferenceMs);
  const together = `the jobs' own inference took ${took} together`;
  return speed < 1
    ? `none: ${together}.`
    : `at most ${speed.toFixed(1)}x: ${together}. Each alone is faster.`;
}

function costLines({ cost }: Summary): string[] {
  if (!cost) return [];
  const rows = Object.entries(cost.byModel).map(([model, price]) => [
    model,
    `${price.toFixed(4)} ${cost.currency}`,
  ]);
  const columns = [{ title: "the same tokens at" }, { title: "would have cost", align: "right" as const }];
  return ["", table(columns, rows)];
}
