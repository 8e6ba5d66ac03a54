// What a storm prints: its progress, and for every finding all that is known about its job, from the logs.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PlannedJob } from "./jobs.ts";
import type { EngineAnswer } from "./observe.ts";
import type { ReceivedRequest } from "./receivers.ts";
import type { Finding } from "./verdict.ts";

export type Screen = { progress(line: string): void; print(line: string): void };

const PLAIN_EVERY_MS = 10_000;

/** On a terminal one line that is rewritten, elsewhere a line every ten seconds. */
export function screenOn(stream: NodeJS.WriteStream): Screen {
  let printedAt = -Infinity;
  return {
    progress(line) {
      if (stream.isTTY) return void stream.write(`\r\x1b[2K${line.slice(0, stream.columns - 1)}`);
      if (performance.now() - printedAt < PLAIN_EVERY_MS) return;
      printedAt = performance.now();
      stream.write(`${line}\n`);
    },
    print: (line) => void stream.write(`${stream.isTTY ? "\r\x1b[2K" : ""}${line}\n`),
  };
}

export type Sources = {
  folder: string;
  list: readonly PlannedJob[];
  requests: readonly ReceivedRequest[];
  answers: readonly EngineAnswer[];
};

/** Each finding with what is known about its job, in the order in which it happened. */
export function describeFindings(findings: readonly Finding[], sources: Sources): string {
  const logs = logsIn(sources.folder);
  const byJob = Map.groupBy(findings, ({ job }) => job);
  return [...byJob]
    .map(([job, found]) => {
      const head = found.map(({ is, what }) => `${is}: ${job ?? "the storm"}: ${what}`);
      return job === null ? head.join("\n") : [...head, ...historyOf(job, sources, logs)].join("\n");
    })
    .join("\n\n");
}

type Logged = { at: number; from: string; line: string; messages: string[] };

function historyOf(job: string, { list, requests, answers }: Sources, logs: readonly Logged[]): string[] {
  const own = logs.filter(({ line }) => line.includes(job));
  // Some lines name only the job's message.
  const messages = new Set(own.flatMap((one) => one.messages));
  const logged = logs.filter((one) => own.includes(one) || one.messages.some((id) => messages.has(id)));
  const events = [
    ...logged.map(({ at, from, line }) => ({ at, text: `${from} ${line}` })),
    ...answers
      .filter((one) => one.job === job)
      .map(({ at, pid, what }) => ({ at, text: `engine ${pid}: answer ${what}` })),
    ...requests
      .filter((one) => one.job === job)
      .map(({ at, address, behaviour, key, event, applied }) => ({
        at,
        text: `${address}: ${behaviour}${applied ? ", applied" : ""}, ${event ?? ""} ${key}`,
      })),
  ].sort((a, b) => a.at - b.at);
  const planned = list.find(({ id }) => id === job);
  return [
    `  planned: ${JSON.stringify(planned)}`,
    ...events.map(({ at, text }) => `  ${new Date(at).toISOString().slice(11, 23)} ${text}`),
  ];
}

function logsIn(folder: string): Logged[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith("worker-"))
    .flatMap((name) =>
      readFileSync(join(folder, name), "utf8")
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => loggedOf(name.replace(".log", ""), line)),
    );
}

function loggedOf(from: string, line: string): Logged {
  try {
    const { time = 0, level: _, hostname: __, pid = "", message, ...rest } = JSON.parse(line);
    const at = typeof time === "number" ? time : Date.parse(time);
    const text = JSON.stringify({ ...rest, ...(message && { message }) });
    return { at, from: `${from} ${pid}`, line: text, messages: message ? [String(message)] : [] };
  } catch {
    return { at: 0, from, line, messages: [] };
  }
}
