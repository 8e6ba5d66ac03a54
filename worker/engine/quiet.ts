// Keeps native libraries from writing to this process's stdout and stderr, which they do past every log callback.
import { closeSync, openSync } from "node:fs";

/**
 * Points stdout and stderr at nothing for everyone who writes to them by number, and returns two new numbers that still lead
 * where they led. Where the system cannot open them a second time (a socket), all stays as it is.
 */
export function quiet(): { out: number; err: number } {
  let out: number;
  let err: number;
  try {
    out = openSync("/dev/fd/1", "a");
    err = openSync("/dev/fd/2", "a");
  } catch {
    return { out: 1, err: 2 };
  }
  for (const standard of [1, 2]) {
    closeSync(standard);
    // The system gives the lowest free number, which is the one just closed.
    openSync("/dev/null", "a");
  }
  return { out, err };
}
