// How `kamado status` and `kamado jobs` print what they found, in 80 columns where the terminal has no more.
import { lengthWords, plural } from "../../amounts.ts";
import { outcomeWords } from "../../logging/job-events.ts";
import { localTime, paint, shorten, table, terminalWidth, wrap } from "../../logging/terminal.ts";
import { pauseWords } from "../../power/pulling-pause.ts";
import { printable } from "../../printable.ts";
import type { Depth } from "../../queue/whole-queue.ts";
import type { EngineHealth, ServiceState } from "../running-service.ts";

export type Running = ServiceState["current"][number] & { for: string };

export type Status = {
  /** Null when no Kamado runs with this data folder; the queues may be worked on elsewhere. */
  service: {
    pid: number;
    startedAt: string;
    web: string;
    state: ServiceState | null;
    isSilent: boolean;
    engine: EngineHealth | null;
  } | null;
  running: Running[];
  queues: {
    jobs: (Depth & { url: string })[];
    outbox: (Depth & { url: string }) | null;
    deadJobs: number;
    deadDeliveries: number;
  };
};

/** The jobs that run, with how long they have. */
export const runningOf = (state: ServiceState | null): Running[] =>
  (state?.current ?? []).map((job) => ({ ...job, for: lengthWords(Date.now() - job.since) }));

type SlotsFrom = NonNullable<EngineHealth["slotsFrom"]>;

const INDENT = 16;

/** What is longer than the terminal goes on below itself, and not below its name. */
function row(name: string, value: string): string {
  const lines = process.stdout.isTTY ? wrap(value, Math.max(40, terminalWidth() - INDENT)) : value;
  return `  ${paint("dim", name.padEnd(INDENT - 2))}${lines.replaceAll("\n", `\n${" ".repeat(INDENT)}`)}`;
}

export function viewStatus({ service, running, queues }: Status): string {
  const lines = [
    ...viewService(service),
    ...queues.jobs.map((depth) => row("queue", `${viewDepth(depth)}\n${depth.url}`)),
    queues.outbox
      ? row(
          "outbox",
          plural(
            queues.outbox.waiting + queues.outbox.inFlight + queues.outbox.delayed,
            "delivery",
            "deliveries",
          ).concat(" to be tried again"),
        )
      : row("outbox", "none"),
    row("dead letters", viewDead(queues)),
  ];
  return running.length === 0 ? lines.join("\n") : `${lines.join("\n")}\n\n${viewRunning(running)}`;
}

/** What runs here, without the queues. */
export function viewService(service: Status["service"]): string[] {
  if (!service)
    return [
      `${paint("bold", "No Kamado runs here")} with this data folder; the queue is there. \`npm start\` starts one.`,
    ];
  const { pid, startedAt, web, state, isSilent } = service;
  const age = lengthWords(Date.now() - Date.parse(startedAt));
  const head = `${paint("bold", `Kamado is ${state?.status ?? "running"}`)}, since ${age}, pid ${pid}, ${web}`;
  const noState = isSilent
    ? `does not answer; the process is stopped or has much to do (\`ps ${pid}\`)`
    : "asks for a token: set KAMADO_WEB_TOKEN as it is set there";
  if (!state) return [head, row("page", noState)];
  const { engine, bucket, startCheck, disk, paused, slots, search } = state;
  const { error } = engine;
  return [
    head,
    ...(state.status === "UNHEALTHY" ? [row("", "`kamado doctor` looks at everything it needs")] : []),
    ...(paused ? [row("", paint("yellow", `${printable(pauseWords(paused))}; running jobs go on`))] : []),
    row(
      "engine",
      `${engine.answers ? "answers" : paint("red", "does not answer")}, ${shorten(printable(engine.model), 40)}, ${plural(slots, "slot")}`,
    ),
    ...(error ? [row("", paint("red", `${error.code}: ${error.message}`)), row("", error.hint)] : []),
    ...(service.engine ? viewEngine(service.engine) : []),
    row("bucket", `${bucket.answers ? "answers" : paint("red", "does not answer")}, ${bucket.name}`),
    ...(search === undefined ? [] : [row("search", printable(search))]),
    ...(startCheck?.error
      ? [
          row(
            "start check",
            paint("red", `${startCheck.error.code}: ${printable(startCheck.error.message)}`),
          ),
          row("", printable(startCheck.error.hint)),
        ]
      : []),
    ...(disk?.hint
      ? [row("disk", `${paint("red", "full")}, ${printable(disk.folder)}\n${printable(disk.hint)}`)]
      : []),
  ];
}

const ASSUMED = /^assumed: /;

/** What is loaded, and why it has as many slots as it has. */
export function viewEngine({
  file,
  quantization,
  images,
  chatTemplate,
  slots,
  slotsFrom,
}: EngineHealth): string[] {
  const pictures = images ? "with a projector (reads pictures)" : "no projector";
  const about = file ? [shorten(printable(file), 40), quantization, images == null ? "" : pictures] : [];
  const template = chatTemplate?.replace(/^file$/, "that of the model's file") ?? "";
  const shown = ASSUMED.test(template)
    ? `none in the file, ${template.replace(ASSUMED, "")} assumed`
    : template;
  return [
    ...(about.length > 0 ? [row("model", about.filter(Boolean).join(", "))] : []),
    ...(shown === "" ? [] : [row("chat template", printable(shown))]),
    ...(slots && slotsFrom ? viewSlots(slots.total, slotsFrom) : []),
  ];
}

function viewSlots(total: number, { from, measuredAt, steady, sampling, next }: SlotsFrom): string[] {
  const why = { setting: "as set", measurement: "as measured", default: "the default" }[from] ?? from;
  const when = measuredAt && `measured ${dayOf(measuredAt)}`;
  const how = steady === undefined ? "" : steady ? "steady" : "not steady (other work, or too short answers)";
  const lines = [`${total}, ${why}`, [when, sampling && `at ${sampling}`].filter(Boolean).join(" "), how];
  const later = next && `${next.slots} from the next start on, measured ${dayOf(next.measuredAt)} while idle`;
  return [row("slots", lines.filter(Boolean).join(", ")), ...(later ? [row("", later)] : [])];
}

const dayOf = (at: string) => printable(at.slice(0, 10));

const viewDepth = ({ waiting, inFlight, delayed }: Depth) =>
  `${waiting} waiting, ${inFlight} in flight, ${delayed} delayed`;

function viewDead({ deadJobs, deadDeliveries }: Status["queues"]): string {
  const text = `${deadJobs} of jobs, ${deadDeliveries} of deliveries`;
  return deadJobs + deadDeliveries === 0 ? text : `${paint("yellow", text)} (\`kamado dead\` lists them)`;
}

/** A UUID stays whole on every terminal: a person copies it. */
const UUID = 36;
/** Whatever is left of the width goes to the ids. */
const idWidth = (others: number) => Math.max(UUID, Math.min(40, terminalWidth() - others));

export function viewRunning(running: readonly Running[]): string {
  const columns = [
    { title: "RUNNING", max: idWidth(36) },
    { title: "KIND", max: 20 },
    { title: "FOR", align: "right" as const },
  ];
  return table(
    columns,
    running.map(({ id, kind, for: age }) => [id, kind, age]),
  );
}

/** The time alone today, the day too before. */
const ofToday = (at: string): string =>
  at.slice(0, 10) === localTime(Date.now()).slice(0, 10) ? at.slice(11, 16) : at.slice("2026-".length, 16);

export type Ended = { id: string; kind: string; outcome: string; at: number; error?: string };

export function viewEnded(ended: readonly Ended[]): string {
  const columns = [
    { title: "ENDED" },
    { title: "ID", max: idWidth(44) },
    { title: "KIND", max: 15 },
    { title: "OUTCOME", max: "rest" as const },
  ];
  const rows = ended.map((job) => [
    ofToday(localTime(job.at)),
    job.id,
    job.kind,
    // A code says that it failed, and needs the room.
    job.outcome === "rejected" || job.outcome === "failed" ? (job.error ?? "failed") : outcomeWords(job),
  ]);
  return table(columns, rows);
}
