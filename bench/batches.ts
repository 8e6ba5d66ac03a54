// `bench batches`: whether a worker's memory grows with the lines of a batch of OpenAI's API, and how many lines it runs in a second.
import { openAsBlob } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { type Bench, whole } from "./arguments.ts";
import { startAwsProcess } from "./aws-process.ts";
import { startOurEngine } from "./engine-process.ts";
import { freePort } from "./free-port.ts";
import { factsLine, machine } from "./machine.ts";
import { cpuSeconds, residentBytes } from "./process-usage.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark, megabytes, type Target } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { startWorker } from "./worker-process.ts";

const TENTHS = 10;
const SLOTS = 16;
const LOOK_MS = 100;
/** What any worker adds while it warms up (soak), and the pieces of an upload. */
const GROWTH = atMost(64);
/** As of soak. */
const LATER_GROWTH = atMost(8);

export const batches: Bench = {
  about: "the worker's memory over a batch of OpenAI's API, and lines a second",
  options: {
    lines: { type: "string", default: "50000" },
    "prompt-bytes": { type: "string", default: "400" },
  },
  async run(values, session) {
    const { print } = session;
    const [lines, promptBytes] = [whole(values, "lines"), whole(values, "prompt-bytes")];
    print(`${factsLine(machine(), { lines, "prompt bytes": promptBytes, slots: SLOTS })}\n`);
    const measured = await measure(lines, promptBytes, session);
    print(`${tenthsTable(measured)}\n`);
    const verdicts = verdictsOf(measured);
    for (const { name, value, unit, target } of verdicts)
      print(`${name}: ${digits(value, 1)} ${unit}  ${fit(mark(value, target))}`);
    return { machine: machine(), lines, promptBytes, ...measured, verdicts };
  },
};

type Tenth = { lines: number; peakBytes: number; linesPerSecond: number };
export type Measured = {
  /** Before the upload. */
  idleBytes: number;
  /** During the upload and the validation. */
  uploadPeakBytes: number;
  tenths: Tenth[];
  cpuPerLine: number;
  linesPerSecond: number;
};

async function measure(lines: number, promptBytes: number, session: Session): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const folder = temporaryFolder(stack);
  const aws = await startAwsProcess(session);
  stack.defer(() => aws.stop());
  const engine = await startOurEngine({ backend: "scripted", slots: SLOTS }, session);
  stack.defer(() => engine.stop());
  const webPort = await freePort();
  const urls = { engineUrl: engine.url, receiverUrl: "http://127.0.0.1:9" };
  const worker = await startWorker({ local: aws, ...urls, slots: SLOTS, folder, webPort }, session);
  stack.defer(() => worker.stop());
  const api = new Api(`http://127.0.0.1:${webPort}/v1`, session.signal);
  const input = join(folder, "input.jsonl");
  await writeInput(input, lines, promptBytes);
  await api.ready();
  const memory = new Memory(worker.pid);
  const idleBytes = memory.take();
  const [began, cpu] = [performance.now(), cpuSeconds(worker.pid)];
  const id = await api.start(input);
  const tenths: Tenth[] = [];
  let uploadPeakBytes = 0;
  for (let from = performance.now(); tenths.length < TENTHS; ) {
    const { status, request_counts: counts } = await api.batch(id);
    if (counts.failed > 0 || status === "failed")
      throw new Error(`a line or the batch failed: ${id} is ${status}`);
    memory.look();
    if (status !== "validating" && uploadPeakBytes === 0) {
      uploadPeakBytes = memory.take();
      from = performance.now();
    }
    const done = Math.floor((counts.completed * TENTHS) / lines);
    if (uploadPeakBytes > 0 && done > tenths.length && (done < TENTHS || status === "completed")) {
      const seconds = (performance.now() - from) / 1_000;
      const linesPerSecond = (counts.completed - (tenths.at(-1)?.lines ?? 0)) / seconds;
      const tenth = { lines: counts.completed, peakBytes: memory.take(), linesPerSecond };
      while (tenths.length < done) tenths.push(tenth);
      from = performance.now();
      process.stderr.write(`${counts.completed} lines: ${megabytes(tenth.peakBytes)} MB\n`);
    }
    await sleep(LOOK_MS, undefined, { signal: session.signal });
  }
  const cpuPerLine = (cpuSeconds(worker.pid) - cpu) / lines;
  const linesPerSecond = (lines * 1_000) / (performance.now() - began);
  return { idleBytes, uploadPeakBytes, tenths, cpuPerLine, linesPerSecond };
}

/** The most that a process had resident since the last time. */
class Memory {
  readonly #pid: number;
  #peak = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  look(): void {
    this.#peak = Math.max(this.#peak, residentBytes(this.#pid));
  }

  take(): number {
    this.look();
    const peak = this.#peak;
    this.#peak = 0;
    return peak;
  }
}

async function writeInput(path: string, lines: number, promptBytes: number): Promise<void> {
  await using file = await open(path, "w");
  const step = 1_000;
  for (let from = 0; from < lines; from += step) {
    const texts = Array.from({ length: Math.min(step, lines - from) }, (_, at) => {
      const content = `${from + at} `.padEnd(promptBytes, "word ");
      const body = { model: "default", messages: [{ role: "user", content }], max_tokens: 8 };
      return JSON.stringify({
        custom_id: `line-${from + at}`,
        method: "POST",
        url: "/v1/chat/completions",
        body,
      });
    });
    await file.write(`${texts.join("\n")}\n`);
  }
}

type Batch = { id: string; status: string; request_counts: { completed: number; failed: number } };

class Api {
  readonly #url: string;
  readonly #signal: AbortSignal;

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  /** The process of the worker is there before its address is. */
  async ready(): Promise<void> {
    while ((await fetch(`${this.#url}/batches`, { signal: this.#signal }).catch(() => null))?.status !== 200)
      await sleep(LOOK_MS, undefined, { signal: this.#signal });
  }

  async start(input: string): Promise<string> {
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", await openAsBlob(input), "input.jsonl");
    const file = await this.#ask<{ id: string }>("/files", { method: "POST", body: form });
    const body = JSON.stringify({
      ...{ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" },
    });
    return (await this.#ask<Batch>("/batches", { method: "POST", body })).id;
  }

  batch(id: string): Promise<Batch> {
    return this.#ask(`/batches/${id}`);
  }

  async #ask<T>(path: string, request: RequestInit = {}): Promise<T> {
    const answer = await fetch(`${this.#url}${path}`, { ...request, signal: this.#signal });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }
}

type Verdict = { name: string; value: number; unit: string; target: Target | undefined };

export function verdictsOf({
  idleBytes,
  uploadPeakBytes,
  tenths,
  cpuPerLine,
  linesPerSecond,
}: Measured): Verdict[] {
  const peaks = tenths.map(({ peakBytes }) => peakBytes);
  const peak = Math.max(uploadPeakBytes, ...peaks);
  const later = Math.max(...peaks.slice(peaks.length / 2)) - Math.max(...peaks.slice(0, peaks.length / 2));
  return [
    {
      name: "most memory above an idle worker's",
      value: (peak - idleBytes) / 1e6,
      unit: "MB",
      target: GROWTH,
    },
    { name: "most memory above the first half's", value: later / 1e6, unit: "MB", target: LATER_GROWTH },
    {
      name: "lines a second, with upload and validation",
      value: linesPerSecond,
      unit: "lines/s",
      target: undefined,
    },
    { name: "the worker's CPU time", value: cpuPerLine * 1_000, unit: "ms a line", target: undefined },
  ];
}

function tenthsTable({ idleBytes, uploadPeakBytes, tenths }: Measured): string {
  const row = (what: string, bytes: number, rate?: number) => [
    what,
    megabytes(bytes),
    megabytes(bytes - idleBytes),
    digits(rate, 0),
  ];
  const rows = [
    row("idle", idleBytes),
    row("upload, validation", uploadPeakBytes),
    ...tenths.map(({ lines, peakBytes, linesPerSecond }) => row(String(lines), peakBytes, linesPerSecond)),
  ];
  const titles = ["lines", "most RSS MB", "above idle", "lines/s"];
  return table(
    titles.map((title): Column => ({ title, align: "right" })),
    rows,
  );
}
