// The browser of the tests of pages: the Chromium of this machine, driven by playwright-core, which brings none of its own.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const PROGRAM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);

/** Null when there is a browser; otherwise the reason for a skipped test. */
export const NO_CHROMIUM = PROGRAM === undefined ? "there is no Chromium in /usr/bin" : null;

/** It asks no address but those that a page of a test names. `names`: host names that mean this machine. */
export const startChromium = (names: readonly string[] = []): Promise<Browser> =>
  chromium.launch({
    executablePath: PROGRAM!,
    args: [
      "--no-sandbox",
      "--disable-quic",
      "--disable-background-networking",
      ...(names.length > 0
        ? [`--host-resolver-rules=${names.map((name) => `MAP ${name} 127.0.0.1`).join(",")}`]
        : []),
    ],
  });

/** A folder for screenshots, which people look at. They take time, so they are made only where there is one. */
export const ARTEFACTS = process.env.KAMADO_TEST_ARTEFACTS;
export const NO_ARTEFACTS =
  ARTEFACTS === undefined
    ? "it takes long; KAMADO_TEST_ARTEFACTS=FOLDER runs it and keeps its screenshots there"
    : null;

export function screenshotAt(name: string): string {
  mkdirSync(ARTEFACTS!, { recursive: true });
  return join(ARTEFACTS!, name);
}
