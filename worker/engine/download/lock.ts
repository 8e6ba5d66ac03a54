// One download of a model at a time: a file that is touched while the download goes on. A process that was killed leaves it behind;
// then the next one takes it over.
import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { isRunning } from "../../async/is-running.ts";
import { KamadoError } from "../../errors.ts";
import { makeFolder } from "../../make-folder.ts";

const FILE = ".pull.lock";
const TOUCH_EVERY_MS = 10_000;
const FORGOTTEN_MS = 60_000;

type Holder = { pid: number; host: string; id: string };
/** `lost` fires when another process took the lock over, as after a long sleep of the machine. */
export type Lock = { lost: AbortSignal; release(): Promise<void> };

/** Throws `model_busy` while another process has it. */
export async function lockModel(folder: string, name: string): Promise<Lock> {
  makeFolder(folder);
  const path = join(folder, FILE);
  const own: Holder = { pid: process.pid, host: hostname(), id: randomUUID() };
  await take(path, own, name);
  const lost = new AbortController();
  const isOurs = async () => (await holderOf(path))?.id === own.id;
  const timer = setInterval(async () => {
    if (!(await isOurs())) return lost.abort(busy(name, await holderOf(path)));
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
  }, TOUCH_EVERY_MS);
  const release = async () => {
    clearInterval(timer);
    if (await isOurs()) await rm(path, { force: true });
  };
  return { lost: lost.signal, release };
}

/** Throws `model_busy` while a download of the model goes on. */
export async function refuseWhileLocked(folder: string, name: string): Promise<void> {
  const holder = await holderOf(join(folder, FILE));
  if (holder !== undefined && (await isAlive(join(folder, FILE), holder))) throw busy(name, holder);
}

async function take(path: string, own: Holder, name: string): Promise<void> {
  const text = JSON.stringify(own);
  try {
    return await writeFile(path, text, { flag: "wx" });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
  }
  const holder = await holderOf(path);
  if (await isAlive(path, holder)) throw busy(name, holder);
  const away = `${path}.${own.id}`;
  await rename(path, away).catch(() => {});
  const moved = await holderOf(away);
  // Another process took the forgotten one over a moment ago: this is its own, and goes back.
  const isForgotten = moved === undefined || moved.id === holder?.id;
  if (!isForgotten) await link(away, path).catch(() => {});
  await rm(away, { force: true });
  if (!isForgotten) throw busy(name, moved);
  await writeFile(path, text, { flag: "wx" }).catch(async () => {
    throw busy(name, await holderOf(path));
  });
}

async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder;
  } catch {
    return undefined;
  }
}

/** Process numbers of another machine or container say nothing; there only the touching counts. */
async function isAlive(path: string, holder: Holder | undefined): Promise<boolean> {
  const touched = await stat(path).catch(() => undefined);
  if (touched === undefined || Date.now() - touched.mtimeMs > FORGOTTEN_MS) return false;
  return holder?.host !== hostname() || isRunning(holder.pid);
}

const busy = (name: string, holder: Holder | undefined) =>
  new KamadoError("model_busy", `${name} is being downloaded by process ${holder?.pid ?? "unknown"}.`);
