// How a conformance suite is written and run: promises by name. Every implementation keeps each of them, or skips it with the
// reason in the title.
import { describe, test } from "vitest";

export type Promises<Harness> = Record<string, (harness: Harness) => Promise<void>>;

/** What an implementation cannot show, and why. A fault of an emulator is not ours, but must be visible. */
export type Exceptions<P> = { [Name in keyof P]?: string };

export function runSuite<Harness, P extends Promises<Harness>>(
  title: string,
  promises: P,
  harness: () => Harness | Promise<Harness>,
  exceptions: Exceptions<P>,
): void {
  // Concurrently, because with real queues most of the time is spent waiting for a visibility timeout.
  describe.concurrent(title, { timeout: 120_000 }, () => {
    for (const [name, keep] of Object.entries(promises)) {
      const reason = exceptions[name];
      if (reason === undefined) test(name, async () => keep(await harness()));
      else test(`${name} [not shown here: ${reason}]`, (context) => context.skip(reason));
    }
  });
}
