// How a conformance suite is written and run: promises by name, each kept by every implementation or skipped for one
// with the reason in its title.
import { describe, test } from "vitest";

export type Promises<Harness> = Record<string, (harness: Harness) => Promise<void>>;

/** What an implementation cannot show, and why: an emulator's fault is not ours, but it must be seen. */
export type Exceptions<P> = { [Name in keyof P]?: string };

export function runSuite<Harness, P extends Promises<Harness>>(
  title: string,
  promises: P,
  harness: () => Harness | Promise<Harness>,
  exceptions: Exceptions<P>,
): void {
  // At once, because the real ones spend most of their time waiting for a visibility timeout.
  describe.concurrent(title, { timeout: 120_000 }, () => {
    for (const [name, keep] of Object.entries(promises)) {
      const reason = exceptions[name];
      if (reason === undefined) test(name, async () => keep(await harness()));
      else test(`${name} [not shown here: ${reason}]`, (context) => context.skip(reason));
    }
  });
}
