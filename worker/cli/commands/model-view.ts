// How models and their downloads are shown: the list, the progress, and what to do with a model that was fetched.
import { sizeWords } from "../../amounts.ts";
import type { Pulled } from "../../engine/download/pull.ts";
import { LiveBlock, paint, prose, table } from "../../logging/terminal.ts";
import { type CatalogueModel, catalogue } from "../../models/catalogue.ts";
import type { Installed, Unfinished } from "../../models/installed.ts";
import { printable } from "../../printable.ts";
import { barOf, minutes } from "./engine-install.ts";

export type Here = { installed: readonly Installed[]; unfinished: readonly Unfinished[] };

export type ModelFacts = {
  name: string;
  state: "in use" | "here" | "unfinished" | "not here";
  bytes: number | null;
  bytesHere: number;
  memoryBytes: number | null;
  /** From the header where the model was fetched, else from the size of its files. */
  memoryFrom: "header" | "size" | null;
  pictures: boolean | null;
  licence: string | null;
  source: string | null;
  for: string | null;
};

/** What is here first, then the rest of the catalogue. Pure but for reading the catalogue. */
export function factsOfAll({ installed, unfinished }: Here, inUse: string): ModelFacts[] {
  const here = installed.map((one) => factsOfInstalled(one, inUse));
  const rest = catalogue().filter(({ name }) => !installed.some((one) => one.name === name));
  const names = new Set(rest.map(({ name }) => name));
  const others = unfinished.filter(({ name }) => !names.has(name));
  const bytesOf = (name: string) => unfinished.find((one) => one.name === name)?.bytes ?? 0;
  return [
    ...here,
    ...others.map(({ name, bytes }) => ({
      ...NOTHING,
      name,
      state: "unfinished" as const,
      bytesHere: bytes,
    })),
    ...rest.map((model) => factsOfCatalogue(model, bytesOf(model.name))),
  ];
}

const NOTHING = {
  bytes: null,
  memoryBytes: null,
  memoryFrom: null,
  pictures: null,
  licence: null,
  source: null,
  for: null,
} as const;

function factsOfInstalled({ name, model, mmproj, bytes, manifest }: Installed, inUse: string): ModelFacts {
  const known = catalogue().find((one) => one.name === name);
  const memory = manifest?.memoryBytes ?? null;
  return {
    name,
    state: model === inUse ? "in use" : "here",
    bytes,
    bytesHere: bytes,
    memoryBytes: memory ?? memoryFor(bytes),
    memoryFrom: memory === null ? "size" : "header",
    pictures: manifest === undefined ? null : mmproj !== undefined,
    licence: manifest?.licence ?? null,
    source: manifest?.source ?? null,
    for: known?.for ?? null,
  };
}

function factsOfCatalogue(model: CatalogueModel, bytesHere: number): ModelFacts {
  const files = [model.model, ...(model.mmproj === null ? [] : [model.mmproj])];
  const bytes = files.reduce((sum, file) => sum + (file.bytes ?? USUAL_PROJECTOR), 0);
  return {
    name: model.name,
    state: bytesHere > 0 ? "unfinished" : "not here",
    bytes,
    bytesHere,
    memoryBytes: memoryFor(bytes),
    memoryFrom: "size",
    pictures: model.mmproj !== null,
    licence: model.licence,
    source: `hf:${model.repo}/${model.model.file}`,
    for: model.for,
  };
}

/** Of a projector whose size nobody reported. Most F16 ones have between 0.6 and 1.0 GB. */
const USUAL_PROJECTOR = 900_000_000;
/** The process and a short context. The header, which says more, is read before a download. */
const memoryFor = (bytes: number) => bytes * 1.05 + 500_000_000;

export function viewModels(here: Here, inUse: string, folder: string): string {
  const rows = factsOfAll(here, inUse);
  const columns = [
    { title: "model", max: 28 },
    { title: "size", align: "right" },
    { title: "memory", align: "right" },
    { title: "pictures" },
    { title: "licence", max: 12 },
    { title: "here" },
  ] as const;
  const list = table(columns, rows.map(cells));
  const uses = rows.filter((row) => row.for !== null && row.state !== "in use");
  const longest = Math.max(0, ...uses.map(({ name }) => name.length));
  const lines = uses.map(({ name, for: use }) => `  ${name.padEnd(longest)}  ${use}`);
  return [
    list,
    "",
    ...lines,
    "",
    "`kamado model pull NAME` downloads one, `kamado model use NAME` chooses it.",
    prose(`They are kept in ${folder}. A number with ~ is an estimate.`),
  ].join("\n");
}

function cells({
  name,
  state,
  bytes,
  bytesHere,
  memoryBytes,
  memoryFrom,
  pictures,
  licence,
}: ModelFacts): string[] {
  const about = state === "not here" || state === "unfinished" ? "~" : "";
  return [
    name,
    bytes === null ? "?" : `${about}${sizeWords(bytes)}`,
    memoryBytes === null ? "?" : `${memoryFrom === "header" ? "" : "~"}${sizeWords(memoryBytes)}`,
    pictures === null ? "?" : pictures ? "yes" : "no",
    licence ?? "?",
    state === "unfinished"
      ? `${sizeWords(bytesHere)}, unfinished`
      : state === "not here"
        ? "no"
        : state === "here"
          ? "yes"
          : state,
  ];
}

export function viewPulled({ is, manifest }: Pulled): string {
  const { name, bytes, memoryBytes, licence, mmproj, source } = manifest;
  const states = {
    pulled: "is here",
    "here already": "was here already",
    "only looked at": "was only looked at",
  };
  const memory = memoryBytes === null ? "" : `, needs ${sizeWords(memoryBytes)} of memory`;
  const lines = [
    `${paint("green", printable(name))} ${states[is]}: ${sizeWords(bytes)}${memory}, ${mmproj === null ? "texts only" : "pictures and texts"}.`,
    prose(
      `From ${printable(source)}; licence: ${licence === null ? "not stated, look at its source" : printable(licence)}.`,
    ),
  ];
  if (is === "here already" && mmproj === null)
    lines.push("The same command with --mmproj FILE fetches a projector for it.");
  if (is !== "only looked at")
    lines.push(`Next: \`kamado model use ${name}\`, or for one start KAMADO_MODEL=${name} npm start`);
  return lines.join("\n");
}

const WORDS = { download: "downloading", check: "checking" } as const;
/** A terminal does not need more, and drawing costs time. */
const DRAW_EVERY_MS = 200;

/** On a terminal one line that is drawn again and again; elsewhere a line for every ten percent of a file. */
export class PullProgress {
  readonly #stream: NodeJS.WriteStream;
  readonly #block: LiveBlock;
  #step = "";
  #startedAt = 0;
  #startedWith = 0;
  #drawnAt = 0;
  #tens = 0;

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream;
    this.#block = new LiveBlock(stream);
  }

  update(phase: keyof typeof WORDS, file: string, done: number, total: number): void {
    const now = performance.now();
    if (this.#step !== `${phase} ${file}`) {
      this.#step = `${phase} ${file}`;
      [this.#startedAt, this.#startedWith, this.#tens, this.#drawnAt] = [now, done, tenth(done, total), 0];
    }
    if (this.#block.isLive) {
      if (now - this.#drawnAt < DRAW_EVERY_MS && done < total) return;
      this.#drawnAt = now;
      this.#block.draw([this.#line(phase, file, done, total)]);
      return;
    }
    if (phase === "check" || tenth(done, total) <= this.#tens) return;
    this.#tens = tenth(done, total);
    this.say(`${file}: ${this.#tens * 10} %, ${sizeWords(done)} of ${sizeWords(total)}`);
  }

  say(line: string): void {
    this.#block.log(printable(line));
  }

  end(): void {
    this.#block.draw([]);
  }

  #line(phase: keyof typeof WORDS, file: string, done: number, total: number): string {
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    const speed = seconds < 1 ? 0 : (done - this.#startedWith) / seconds;
    const rest =
      speed > 0 ? `  ${sizeWords(speed)}/s, ${minutes(((total - done) / speed) * 1_000)} left` : "";
    const width = (this.#stream.columns || 80) > 90 ? 24 : 10;
    return `${WORDS[phase]} ${barOf({ done, total }, width).replace(/ %.*$/, " %")}  ${sizeWords(done)} of ${sizeWords(total)}${rest}  ${file}`;
  }
}

const tenth = (done: number, total: number) => (total === 0 ? 0 : Math.floor((done / total) * 10));
