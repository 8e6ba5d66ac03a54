// What the beginnings of a model's files say before the rest is downloaded: whether they are a model and its projector, under which licence,
// and how much memory they need, which is compared with what this machine has. Fetching is left to download.ts, the rest to pull.ts.
import { open, stat } from "node:fs/promises";
import { sizeWords } from "../../amounts.ts";
import { KamadoError } from "../../errors.ts";
import { freeBytesOf } from "../../free-disk.ts";
import { checkFiles, readHeader } from "../generation/model-check.ts";
import { graphicsCards, mostBytes } from "../sizing/memory-available.ts";
import { explain, MIN_CONTEXT, planMemory } from "../sizing/memory-fit.ts";
import { type Need, needOf } from "../sizing/memory-need.ts";
import { type Context, downloadUntil, type Facts, partOf, sizeOf } from "./download.ts";
import type { Source, WantedFile } from "./source.ts";

export type LookOptions = {
  /** Download it although it needs more memory than this machine has. */
  force: boolean;
  /** Instead of what this machine has. */
  memoryLimit?: number | undefined;
  /** Instead of what the disk has; for tests. */
  freeBytes?: number | undefined;
  /** Instead of an estimate in a process of its own; for tests. */
  estimate?: ((model: string) => Promise<Need>) | undefined;
  say(line: string): void;
};

/** Throws what download.ts throws, `download_refused`, `memory_insufficient` and `disk_full`. */
export async function lookFirst(source: Source, context: Context, options: LookOptions) {
  const { folder, signal } = context;
  const heads = await downloadHeads(source.files, context);
  const look = await lookAt(source, heads, folder, options.estimate);
  // Ctrl-C ends the process that estimates, too.
  signal.throwIfAborted();
  await compare(source, heads, look, folder, options);
  return { heads, look };
}

/** Most headers are shorter than 16 MiB; a list of 262,144 tokens with scores has about 7. */
const FIRST_BYTES = 1024 * 1024;
const MAX_HEADER = 256 * 1024 * 1024;

export type Head = WantedFile & { facts: Facts };

async function downloadHeads(files: readonly WantedFile[], context: Context): Promise<Head[]> {
  const heads: Head[] = [];
  for (const wanted of files) heads.push({ ...wanted, facts: await downloadHead(wanted, context) });
  return heads;
}

async function downloadHead(wanted: WantedFile, context: Context): Promise<Facts> {
  const path = partOf(context.folder, wanted.file);
  for (let limit = FIRST_BYTES; ; limit *= 4) {
    const facts = await downloadUntil(wanted, limit, context);
    await refuseOtherFiles(path, wanted.file);
    if ((await headerLength(path)) <= Math.min((await stat(path)).size, facts.total)) return facts;
    if (limit >= facts.total || limit >= MAX_HEADER)
      throw refused(`${wanted.file} is not a GGUF file, or its header is damaged.`);
  }
}

async function refuseOtherFiles(path: string, file: string): Promise<void> {
  const handle = await open(path);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0);
  await handle.close();
  const start = buffer.subarray(0, bytesRead);
  if (start.subarray(0, 4).toString("latin1") === "GGUF") return;
  throw refused(`${file} is not a GGUF file: ${looksLike(start)}.`);
}

function looksLike(start: Buffer): string {
  const text = start.toString("latin1");
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return "it is a web page";
  if (text.startsWith("version https://git-lfs")) return "it is a pointer of Git LFS, not the file itself";
  if (text.startsWith("PK")) return "it is a ZIP archive, perhaps of PyTorch";
  if (/^\s*[{[]/.test(text)) return "it begins like JSON";
  if (text.startsWith("{", 8))
    return "it is a safetensors file; look for a repository whose name ends with -GGUF";
  return `it begins with ${JSON.stringify(text.slice(0, 8))}`;
}

/** Where the header ends. Infinity where it cannot be read: what is not here yet reads as zeros. */
async function headerLength(path: string): Promise<number> {
  try {
    const info = await readHeader(path);
    return info.infoEndOffset ?? 0;
  } catch {
    return Infinity;
  }
}

/** By native code, which may end its process when a header is damaged. */
const estimateApart = (model: string) => needOf("llama-node", { model });

export type Look = { need: Need | undefined; licence: string | undefined };

/** The same checks that an engine makes before it loads the files, and its estimate. Throws `download_refused`. */
async function lookAt(
  { files }: Source,
  heads: readonly Head[],
  folder: string,
  estimate: LookOptions["estimate"] = estimateApart,
): Promise<Look> {
  const head = (role: WantedFile["role"]) => heads.find((one) => one.role === role);
  const [model, mmproj] = [head("model")!, head("mmproj")];
  const paths = { model: partOf(folder, model.file), mmproj: mmproj && partOf(folder, mmproj.file) };
  const sizes = { model: model.facts.total, ...(mmproj && { mmproj: mmproj.facts.total }) };
  await checkFiles(paths, sizes).catch((thrown) => {
    throw asRefusal(thrown, folder);
  });
  const isSplit = files.filter(({ role }) => role === "model").length > 1;
  const need = isSplit ? undefined : await estimate(paths.model).catch(() => undefined);
  const info = await readHeader(paths.model);
  const licence = (info.metadata.general as { license?: unknown } | undefined)?.license;
  return {
    need: need && { ...need, fixedBytes: need.fixedBytes + (mmproj?.facts.total ?? 0) },
    licence: typeof licence === "string" && licence !== "" ? licence : undefined,
  };
}

/** In the words of the download: a file that its source has, not a setting. */
function asRefusal(thrown: unknown, folder: string): unknown {
  if (!(thrown instanceof KamadoError)) return thrown;
  const said = thrown.message.replaceAll(`${folder}/`, "").replace(/^KAMADO_(MODEL|MMPROJ): /, "");
  const hint = /projector/.test(said)
    ? "The first argument is the model; its projector is given with --mmproj."
    : "The file at its source is damaged or not complete; take another one.";
  return refused(said.replaceAll(".gguf.part", ".gguf"), hint, thrown);
}

const refused = (message: string, hint?: string, cause?: unknown) =>
  new KamadoError("download_refused", message, { cause, ...(hint !== undefined && { hint }) });

/** Left free for the system and for Kamado itself. */
const SPARE_BYTES = 500_000_000;

async function compare(
  source: Source,
  heads: readonly Head[],
  { need }: Look,
  folder: string,
  options: LookOptions,
): Promise<void> {
  const { licence, reportedLicence: reported } = source;
  if (licence && reported && licence.toLowerCase() !== reported.toLowerCase())
    options.say(`The licence of ${source.name} is ${licence}; the catalogue says ${reported}.`);
  for (const { file, reportedBytes, facts } of heads)
    if (reportedBytes !== undefined && reportedBytes !== facts.total)
      options.say(
        `${file} has ${facts.total} bytes; the catalogue says ${reportedBytes}. It was replaced at its source.`,
      );
  await compareMemory(source.name, need, options);
  await compareDisk(heads, folder, options.freeBytes);
}

async function compareMemory(
  name: string,
  need: Need | undefined,
  { memoryLimit, force, say }: LookOptions,
): Promise<void> {
  if (need === undefined) return say(`How much memory ${name} needs is not known.`);
  // A graphics card has its own memory, and the library that uses the card knows how much.
  if (memoryLimit === undefined && graphicsCards() !== null) return;
  const most = memoryLimit ?? mostBytes();
  const wanted = { slots: 1, contextSize: MIN_CONTEXT, slotsSet: true, contextSet: true };
  const plan = planMemory(need, most, wanted);
  const least = sizeWords(plan.bytes);
  if (plan.is !== "refused")
    return say(`${name} needs ${least} of memory; this machine has ${sizeWords(most)} for it.`);
  const message = explain(plan, { ...wanted, slotsSet: false, contextSet: false }, need, most);
  if (force) return say(`${message} It is downloaded anyway (--force).`);
  const mac =
    process.platform === "darwin"
      ? " That is what macOS lets the GPU use (iogpu.wired_limit_mb changes it)."
      : "";
  throw new KamadoError("memory_insufficient", `${name}: ${message}${mac}`, {
    hint: "Choose a smaller model (`kamado model list`); --force downloads it anyway, KAMADO_MEMORY_LIMIT sets another limit.",
  });
}

/** Throws `disk_full`. */
async function compareDisk(heads: readonly Head[], folder: string, given: number | undefined): Promise<void> {
  const free = given ?? freeBytesOf(folder) ?? Number.POSITIVE_INFINITY;
  let missing = 0;
  for (const { file, facts } of heads) missing += Math.max(0, facts.total - (await sizeOf(folder, file)));
  if (missing === 0 || missing + SPARE_BYTES <= free) return;
  const message = `The download needs ${sizeWords(missing)} more, and ${sizeWords(free)} are free at ${folder}; ${sizeWords(SPARE_BYTES)} stay free for the system.`;
  throw new KamadoError("disk_full", message);
}
