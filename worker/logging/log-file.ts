// Keeps the file small into which a service manager writes what this process prints. launchd opens it once and never again, so it cannot be
// renamed: its content is copied away, and the file is emptied. Nothing is lost between the two, because the process that writes does both.
import { copyFileSync, renameSync, statSync, truncateSync } from "node:fs";

/** Above this size the file is emptied; five older ones are kept, so that a service never uses more than six times as much. */
export const MAX_BYTES = 10_000_000;
export const KEPT = 5;
const LOOK_EVERY_MS = 60_000;

/** `path`: KAMADO_LOG_FILE. Without it nothing is done. `onTrouble` is called once when it cannot be done. */
export function boundLogFile(path: string | undefined, onTrouble: (error: Error) => void): void {
  if (path === undefined) return;
  const look = () => {
    try {
      rotate(path);
    } catch (thrown) {
      clearInterval(timer);
      onTrouble(thrown as Error);
    }
  };
  const timer = setInterval(look, LOOK_EVERY_MS).unref();
  look();
}

/** Moves on a file that has become too large: it becomes `….1`, that `….2`, and the last one is gone. */
export function rotate(path: string, maxBytes = MAX_BYTES): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= maxBytes) return;
  for (let number = KEPT - 1; number >= 1; number--) {
    if (statSync(`${path}.${number}`, { throwIfNoEntry: false }))
      renameSync(`${path}.${number}`, `${path}.${number + 1}`);
  }
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
}
