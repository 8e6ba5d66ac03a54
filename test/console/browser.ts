// How the tests of the console look at its pages in a browser, and the pictures that they keep for people to look at.
import type { Browser, Page } from "playwright-core";
import { ARTEFACTS, screenshotAt } from "../chromium.ts";

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

export type Look = {
  size?: { width: number; height: number };
  colorScheme?: "light" | "dark";
  locale?: string;
  javaScriptEnabled?: boolean;
};

/** A page of a visitor of his own. */
export async function openPage(browser: Browser, look: Look = {}): Promise<Page> {
  const { size = DESKTOP, colorScheme = "light", locale = "en-US", javaScriptEnabled = true } = look;
  const isPhone = size === PHONE;
  const context = await browser.newContext({
    viewport: size,
    colorScheme,
    locale,
    javaScriptEnabled,
    hasTouch: isPhone,
    isMobile: isPhone,
    reducedMotion: "reduce",
  });
  return context.newPage();
}

/** Only where somebody wants them. */
export async function keepPicture(page: Page, name: string, { fullPage = false } = {}): Promise<void> {
  if (ARTEFACTS !== undefined) await page.screenshot({ path: screenshotAt(`console-${name}.png`), fullPage });
}
