// `kamado model pull`: from a source to a model that KAMADO_MODEL can name. First only the beginnings of the files are downloaded, and
// compared with this machine (look-first.ts). Then the rest is downloaded, checked, and put in place; model.json, written last, says that
// it is complete.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../async/clock.ts";
import { KamadoError } from "../../errors.ts";
import { findInstalled, MANIFEST, type Manifest, manifestIn, modelsFolder } from "../../models/installed.ts";
import { bytesOf, MIN_CONTEXT } from "../sizing/memory-fit.ts";
import { type Context, downloadUntil, partOf, readFacts, removePart, writeFacts } from "./download.ts";
import { lockModel } from "./lock.ts";
import { type Head, type Look, type LookOptions, lookFirst } from "./look-first.ts";
import type { Requests } from "./requests.ts";
import { askRepository, type Source, type WantedFile } from "./source.ts";

export type PullOptions = LookOptions & {
  dataDir: string;
  requests: Requests;
  signal: AbortSignal;
  clock: Clock;
  wantsProjector: boolean;
  /** Only look and compare; nothing stays on the disk. */
  dryRun: boolean;
  onProgress(phase: "download" | "check", file: string, done: number, total: number): void;
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

async function removeNew({ files }: Source, isNew: readonly boolean[], folder: string): Promise<void> {
  for (const [index, { file }] of files.entries()) if (isNew[index]) await removePart(folder, file);
}

function refuseSameNames({ files }: Source): void {
  const names = files.map(({ file }) => file);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new KamadoError("invalid_input", `The model and its projector are both called ${twice}.`);
}

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

const sizeAt = (path: string) =>
  stat(path).then(
    ({ size }) => size,
    () => undefined,
  );

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
