// `kamado model pull`: from a source to a model that KAMADO_MODEL can name. First only the beginnings of the files are downloaded: their
// headers say whether they are a model and its projector, and how much memory they need. Then the disk and the memory are compared with
// what is needed, and only then the rest is downloaded, checked, and put in place; model.json, written last, says that it is complete.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, open, rename, rm, rmdir, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../async/clock.ts";
import { KamadoError } from "../../errors.ts";
import { findInstalled, MANIFEST, type Manifest, manifestIn, modelsFolder } from "../../models/installed.ts";
import { checkFiles, readHeader } from "../generation/model-check.ts";
import { graphicsCards, mostBytes } from "../sizing/memory-available.ts";
import { bytesOf, explain, MIN_CONTEXT, planMemory } from "../sizing/memory-fit.ts";
import { type Need, needOf } from "../sizing/memory-need.ts";
import {
  type Context,
  downloadUntil,
  type Facts,
  partOf,
  readFacts,
  removePart,
  writeFacts,
} from "./download.ts";
import { lockModel } from "./lock.ts";
import type { Requests } from "./requests.ts";
import { askRepository, type Source, type WantedFile } from "./source.ts";

export type PullOptions = {
  dataDir: string;
  requests: Requests;
  signal: AbortSignal;
  clock: Clock;
  wantsProjector: boolean;
  /** Only look and compare; nothing stays on the disk. */
  dryRun: boolean;
  /** Download it although it needs more memory than this machine has. */
  force: boolean;
  /** Instead of what this machine has. */
  memoryLimit?: number | undefined;
  /** Instead of what the disk has; for tests. */
  freeBytes?: number | undefined;
  /** Instead of an estimate in a process of its own; for tests. */
  estimate?: ((model: string) => Promise<Need>) | undefined;
  onProgress(phase: "download" | "check", file: string, done: number, total: number): void;
  say(line: string): void;
};
export type Pulled = { is: "pulled" | "here already" | "only looked at"; manifest: Manifest };

/** Throws what download.ts throws, and `model_busy`, `memory_insufficient`, `checksum_mismatch`, `invalid_input`. */
export async function pullModel(source: Source, options: PullOptions): Promise<Pulled> {
  const { dataDir } = options;
  const folder = join(modelsFolder(dataDir), source.name);
  const here = () => alreadyHere(source, options);
  const before = here();
  if (before) return { is: "here already", manifest: before };
  const lock = await lockModel(folder, source.name);
  try {
    // Another process may have completed it before this one got the lock.
    const meanwhile = here();
    if (meanwhile) return { is: "here already", manifest: meanwhile };
    const signal = AbortSignal.any([options.signal, lock.lost]);
    return await pullInto(folder, source, { ...options, signal });
  } finally {
    await lock.release();
    // A name that was refused at once leaves no empty folder.
    await rmdir(folder).catch(() => {});
  }
}

function alreadyHere(
  { name, from, files }: Source,
  { dataDir, wantsProjector }: PullOptions,
): Manifest | undefined {
  const found = findInstalled(dataDir, name);
  const manifest = found?.manifest;
  if (found === undefined) return undefined;
  if (manifest?.source === from) {
    const asked = wantsProjector ? files.find(({ role }) => role === "mmproj")?.file : null;
    return asked === undefined || asked === manifest.mmproj ? manifest : undefined;
  }
  const where = found.manifest === undefined ? found.model : `from ${found.manifest.source}`;
  const hint = "Give this one another name with --name, or remove that one with `kamado model remove`.";
  throw new KamadoError("invalid_input", `There is another model ${found.name} here already: ${where}.`, {
    hint,
  });
}

async function pullInto(folder: string, asked: Source, options: PullOptions): Promise<Pulled> {
  const { requests, signal, clock, say, wantsProjector } = options;
  const onProgress: Context["onProgress"] = (file, done, total) =>
    options.onProgress("download", file, done, total);
  const context: Context = { requests, folder, signal, clock, say, onProgress };
  const { source, unanswered } = await askRepository(asked, requests, wantsProjector, signal);
  if (unanswered !== undefined)
    say(
      `${requests.endpoint} does not say which licence and projector belong to it: ${unanswered.replace(/\.$/, "")}.`,
    );
  refuseSameNames(source);
  const isNew = await Promise.all(source.files.map(async ({ file }) => !(await readFacts(folder, file))));
  const linked = await takeBack(source, folder);
  try {
    return await pullFiles(source, isNew, context, options);
  } finally {
    for (const file of linked) await removePart(folder, file);
    if (options.dryRun) await removeNew(source, isNew, folder);
  }
}

/** A file may be another one by now than the beginning of it that was here already. Then its header is looked at again. */
const MAX_ROUNDS = 3;

async function pullFiles(
  source: Source,
  isNew: readonly boolean[],
  context: Context,
  options: PullOptions,
): Promise<Pulled> {
  const { folder } = context;
  for (let round = 1; ; round++) {
    const { heads, look } = await lookFirst(source, context, options).catch(async (thrown) => {
      // What is refused by its beginning is of no use later. What broke off is.
      if (USELESS.has((thrown as KamadoError).code)) await removeNew(source, isNew, folder);
      throw thrown;
    });
    const manifest = manifestOf(source, heads, look);
    if (options.dryRun) return { is: "only looked at", manifest };
    const replaced = await downloadRest(heads, context);
    if (replaced === undefined) {
      const files = await checkSums(heads, folder, options);
      await putInPlace({ ...manifest, files }, folder);
      return { is: "pulled", manifest: { ...manifest, files } };
    }
    if (round === MAX_ROUNDS)
      throw new KamadoError("download_failed", `${replaced} was replaced at its source during the download.`);
  }
}

const USELESS = new Set(["download_refused", "memory_insufficient"]);

async function lookFirst(source: Source, context: Context, options: PullOptions) {
  const { folder, signal } = context;
  const heads = await downloadHeads(source.files, context);
  const look = await lookAt(source, heads, folder, options.estimate);
  // Ctrl-C ends the process that estimates, too.
  signal.throwIfAborted();
  await compare(source, heads, look, folder, options);
  return { heads, look };
}

async function removeNew({ files }: Source, isNew: readonly boolean[], folder: string): Promise<void> {
  for (const [index, { file }] of files.entries()) if (isNew[index]) await removePart(folder, file);
}

function refuseSameNames({ files }: Source): void {
  const names = files.map(({ file }) => file);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new KamadoError("invalid_input", `The model and its projector are both called ${twice}.`);
}

// --- the headers ---

/** Most headers are shorter than 16 MiB; a list of 262,144 tokens with scores has about 7. */
const FIRST_BYTES = 1024 * 1024;
const MAX_HEADER = 256 * 1024 * 1024;

type Head = WantedFile & { facts: Facts };

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

type Look = { need: Need | undefined; licence: string | undefined };

/** The same checks that an engine makes before it loads the files, and its estimate. Throws `download_refused`. */
async function lookAt(
  { files }: Source,
  heads: readonly Head[],
  folder: string,
  estimate: PullOptions["estimate"] = estimateApart,
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

// --- the numbers ---

/** Left free for the system and for Kamado itself. */
const SPARE_BYTES = 500_000_000;

async function compare(
  source: Source,
  heads: readonly Head[],
  { need }: Look,
  folder: string,
  options: PullOptions,
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
  { memoryLimit, force, say }: PullOptions,
): Promise<void> {
  if (need === undefined) return say(`How much memory ${name} needs is not known.`);
  // A graphics card has its own memory, and the library that uses the card knows how much.
  if (memoryLimit === undefined && graphicsCards() !== null) return;
  const most = memoryLimit ?? mostBytes();
  const wanted = { slots: 1, contextSize: MIN_CONTEXT, slotsSet: true, contextSet: true };
  const plan = planMemory(need, most, wanted);
  const least = gb(plan.bytes);
  if (plan.is !== "refused")
    return say(`${name} needs ${least} of memory; this machine has ${gb(most)} for it.`);
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
  const { blocks, bavail, bsize } = await statfs(folder);
  // A disk without a limit says 0 of 0.
  const free = given ?? (blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize);
  let missing = 0;
  for (const { file, facts } of heads) {
    const here = (await sizeAt(partOf(folder, file))) ?? 0;
    missing += Math.max(0, facts.total - here);
  }
  if (missing === 0 || missing + SPARE_BYTES <= free) return;
  const message = `The download needs ${gb(missing)} more, and ${gb(free)} are free at ${folder}; ${gb(SPARE_BYTES)} stay free for the system.`;
  throw new KamadoError("disk_full", message);
}

const sizeAt = (path: string) =>
  stat(path).then(
    ({ size }) => size,
    () => undefined,
  );

/** As file managers and shops count: 1 GB is 1,000,000,000 bytes. */
export const gb = (bytes: number): string =>
  bytes >= 1e8 ? `${(bytes / 1e9).toFixed(bytes >= 1e10 ? 1 : 2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;

function manifestOf(source: Source, heads: readonly Head[], { need, licence }: Look): Manifest {
  const first = (role: WantedFile["role"]) => heads.find((one) => one.role === role)?.file ?? null;
  return {
    name: source.name,
    source: source.from,
    licence: source.licence ?? licence ?? source.reportedLicence ?? null,
    model: first("model")!,
    mmproj: first("mmproj"),
    bytes: heads.reduce((sum, { facts }) => sum + facts.total, 0),
    memoryBytes: need === undefined ? null : bytesOf(need, { slots: 1, contextSize: MIN_CONTEXT }),
    files: heads.map(({ file, facts }) => ({ file, bytes: facts.total, sha256: "", checkedBy: null })),
  };
}

// --- the rest of the files ---

type FileFacts = Manifest["files"][number];

/** The name of a file that is another one than its header belongs to; undefined when all is well. */
async function downloadRest(heads: readonly Head[], context: Context): Promise<string | undefined> {
  for (const head of heads) {
    const { total, sha256, etag, lastModified } = await downloadUntil(head, Infinity, context);
    const now = [total, sha256 ?? etag ?? lastModified];
    const { facts } = head;
    if (now.join() !== [facts.total, facts.sha256 ?? facts.etag ?? facts.lastModified].join())
      return head.file;
  }
  return undefined;
}

async function checkSums(heads: readonly Head[], folder: string, options: PullOptions): Promise<FileFacts[]> {
  const files: FileFacts[] = [];
  for (const head of heads) files.push(await checkSum(head, folder, options));
  return files;
}

/** Throws `checksum_mismatch`, and removes the file: nothing of it can be trusted. */
async function checkSum(
  head: Head,
  folder: string,
  { signal, onProgress, say }: PullOptions,
): Promise<FileFacts> {
  const { file, facts, sha256: given } = head;
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(partOf(folder, file), { highWaterMark: 1 << 20, signal })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    onProgress("check", file, bytes, facts.total);
  }
  const sha256 = hash.digest("hex");
  const expected = given ?? facts.sha256;
  if (expected === undefined)
    say(`${file}: its source gives no checksum; only its length and its header were checked.`);
  else if (expected !== sha256) {
    await removePart(folder, file);
    const who = given === undefined ? "its source says" : "was expected";
    throw new KamadoError("checksum_mismatch", `${file}: its SHA-256 is ${sha256}, and ${expected} ${who}.`);
  }
  const by = given === undefined ? "the source's checksum" : "a given checksum";
  return { file, bytes, sha256, checkedBy: expected === undefined ? null : by };
}

/** A crash between two of these steps leaves what the next pull completes: see `takeBack`. */
async function putInPlace(manifest: Manifest, folder: string): Promise<void> {
  const path = join(folder, MANIFEST);
  const before = manifestIn(folder)?.files ?? [];
  for (const { file } of manifest.files) await rename(partOf(folder, file), join(folder, file));
  await writeFile(`${path}.new`, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(`${path}.new`, path);
  for (const { file } of manifest.files) await removePart(folder, file);
  const isOver = ({ file }: FileFacts) => !manifest.files.some((one) => one.file === file);
  for (const { file } of before.filter(isOver)) await rm(join(folder, file), { force: true });
}

/** exFAT, which external disks often have. Nothing was changed. */
function noLinks(cause: NodeJS.ErrnoException): never {
  const message = `The disk of the model takes no links (${cause.code}), so a projector cannot be added to it.`;
  const hint = "Remove the model with `kamado model remove`, and pull it again with its projector.";
  throw new KamadoError("invalid_input", message, { cause, hint });
}

/**
 * Files without model.json are not known to be complete: they are parts. Files that it names are complete, and stay where they are while
 * something else of the model is fetched, such as its projector: their parts are links. Resolves with their names.
 */
async function takeBack({ files }: Source, folder: string): Promise<string[]> {
  const known = manifestIn(folder)?.files ?? [];
  const linked: string[] = [];
  for (const { file } of files) {
    const [part, whole] = [partOf(folder, file), join(folder, file)];
    if ((await sizeAt(part)) !== undefined) continue;
    const facts = known.find((one) => one.file === file);
    if (facts === undefined || (await sizeAt(whole)) !== facts.bytes) {
      await rename(whole, part).catch(() => {});
      continue;
    }
    const { bytes: total, sha256, checkedBy } = facts;
    await link(whole, part).catch(noLinks);
    await writeFacts(folder, file, { total, ...(checkedBy !== null && { sha256 }) });
    linked.push(file);
  }
  return linked;
}
