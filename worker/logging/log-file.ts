// The file into which a service manager writes what this process prints: kept small, and written again after a full disk. launchd opens it
// once and never again, so it cannot be renamed: its content is copied away, and the file is emptied. Nothing is lost between the two, because
// the process that writes does both.
import {
  copyFileSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import type { DestinationStream } from "pino";

/** Above this size the file is emptied; five older ones are kept, so that a service never uses more than six times as much. */
export const MAX_BYTES = 10_000_000;
export const KEPT = 5;
const LOOK_EVERY_MS = 60_000;
/** Standard output and standard error. */
const OWN = [1, 2];

/** `path`: KAMADO_LOG_FILE. Without it nothing is done. `onTrouble` is called once for each reason for which it cannot be done. */
export function boundLogFile(path: string | undefined, onTrouble: (error: Error) => void): void {
  if (path === undefined) return;
  const said = new Set<string>();
  const look = () => {
    try {
      rotate(path);
      said.clear();
    } catch (thrown) {
      const { message } = thrown as Error;
      if (!said.has(message)) onTrouble(thrown as Error);
      said.add(message);
    }
  };
  setInterval(look, LOOK_EVERY_MS).unref();
  look();
}

/** Moves on a file that has become too large: it becomes `….1`, that `….2`, and the last one is gone. */
export function rotate(path: string, maxBytes = MAX_BYTES, own: readonly number[] = OWN): void {
  const there = statSync(path, { throwIfNoEntry: false });
  const elsewhere = own.find((fd) => isRemoved(fd, there));
  if (elsewhere !== undefined) {
    if (fstatSync(elsewhere).size > maxBytes) ftruncateSync(elsewhere);
    throw new Error(`${path} was removed while it is written to; a restart makes it anew`);
  }
  if (there === undefined || there.size <= maxBytes) return;
  // What is dropped in any case makes room on a full disk.
  rmSync(`${path}.${KEPT}`, { force: true });
  const copy = `${path}.new`;
  try {
    copyFileSync(path, copy);
    empty(path, there, own);
  } catch (thrown) {
    rmSync(copy, { force: true });
    throw thrown;
  }
  for (let number = KEPT - 1; number >= 1; number--)
    if (existsSync(`${path}.${number}`)) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
  renameSync(copy, `${path}.1`);
}

/** A file that has no name any more still grows, and nobody can see it. */
const isRemoved = (fd: number, there: Stats | undefined): boolean => {
  const stats = statsOf(fd);
  return stats?.isFile() === true && stats.nlink === 0 && stats.ino !== there?.ino;
};

/** By the open file where it is this process's own: its mode may have been changed meanwhile. */
function empty(path: string, { ino, dev }: Stats, own: readonly number[]): void {
  const open = own.find((fd) => statsOf(fd)?.ino === ino && statsOf(fd)?.dev === dev);
  if (open === undefined) truncateSync(path);
  else ftruncateSync(open);
}

function statsOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined;
  }
}

/**
 * Where the log goes. Node's stream stays silent for ever after a write that failed, so that a service whose disk was full for a moment
 * would never say anything again; its file is written without it.
 */
export function logOutput(
  logFile: string | undefined,
  stream: DestinationStream & { fd?: number },
): DestinationStream {
  const { fd } = stream;
  if (logFile === undefined || fd === undefined || statsOf(fd)?.isFile() !== true) return stream;
  let lost = 0;
  return {
    write(line) {
      try {
        if (lost > 0) writeFileSync(fd, lostLine(lost));
        lost = 0;
        writeFileSync(fd, line);
      } catch {
        lost++;
      }
    },
  };
}

const lostLine = (count: number) =>
  `\n${JSON.stringify({ level: "warn", time: new Date().toISOString(), stage: "start", msg: `${count} lines of the log could not be written` })}\n`;
