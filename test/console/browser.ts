// One headless Chromium for the tests of a file, and where pictures of pages are put. Nothing is fetched from anywhere but this machine.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

export const CHROMIUM = PLACES.find((path) => existsSync(path));
export const NO_CHROMIUM = `there is no Chromium here (${PLACES.slice(0, 3).join(", ")}); apt-get install chromium`;

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

export type Look = {
  size?: { width: number; height: number };
  colorScheme?: "light" | "dark";
  locale?: string;
  javaScriptEnabled?: boolean;
  scale?: number;
};

export type Browser = {
  /** A page of a visitor of its own. It is closed with the browser. */
  open(look?: Look): Promise<Page>;
  close(): Promise<void>;
};

export async function openBrowser(): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), "kamado-chromium-"));
  const browser = await chromium.launch({
    executablePath: CHROMIUM!,
    env: {
      HOME: folder,
      PATH: "/usr/bin:/bin",
      TMPDIR: folder,
      ...(process.env.LANG && { LANG: process.env.LANG }),
    },
    args: ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage"],
  });
  const contexts: BrowserContext[] = [];
  return {
    async open({
      size = DESKTOP,
      colorScheme = "light",
      locale = "en-US",
      javaScriptEnabled = true,
      scale = 1,
    } = {}) {
      const context = await browser.newContext({
        viewport: size,
        colorScheme,
        locale,
        javaScriptEnabled,
        deviceScaleFactor: scale,
        hasTouch: size === PHONE,
        isMobile: size === PHONE,
        reducedMotion: "reduce",
      });
      contexts.push(context);
      return context.newPage();
    },
    async close() {
      await Promise.all(contexts.map((context) => context.close()));
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const ARTEFACTS = process.env.KAMADO_ARTEFACTS ?? resolve(import.meta.dirname, "../../artefacts");

/** Keeps a picture of the page for somebody to look at. */
export async function keepPicture(page: Page, name: string, { fullPage = false } = {}): Promise<void> {
  mkdirSync(ARTEFACTS, { recursive: true });
  await page.screenshot({ path: join(ARTEFACTS, `${name}.png`), fullPage });
}
