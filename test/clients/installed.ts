// The JavaScript clients that the tests use, installed beside the project and not as a part of it: only their test needs them.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
const PACKAGES = join(import.meta.dirname, "javascript.json");
export const JAVASCRIPT = join(ROOT, "node_modules/.cache/kamado-clients");
const STAMP = join(JAVASCRIPT, "installed.json");

/** Null when they can be used. Otherwise the reason, for a skipped test. */
export function whyNoJavascript(): string | null {
  const isCurrent = existsSync(STAMP) && readFileSync(STAMP, "utf8") === readFileSync(PACKAGES, "utf8");
  if (isCurrent) return null;
  return "the Vercel AI SDK is not installed; `npm run emulators` installs it where npm's registry can be reached";
}

/** Lays out the folder for `npm install`. */
export function prepareJavascript(): void {
  mkdirSync(JAVASCRIPT, { recursive: true });
  copyFileSync(PACKAGES, join(JAVASCRIPT, "package.json"));
}

export function markInstalled(): void {
  copyFileSync(PACKAGES, STAMP);
}
