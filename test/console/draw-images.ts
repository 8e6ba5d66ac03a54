// Draws the pictures of the console in docs/images, with sample data: `node test/console/draw-images.ts`. Needs a Chromium.
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { serve } from "@hono/node-server";
import sharp from "sharp";
import { createConsole } from "../../worker/console/console.ts";
import { startChromium } from "../chromium.ts";
import { DESKTOP, type Look, openPage, PHONE } from "./browser.ts";
import { DOOR } from "./door.ts";
import { busyConsole, jobOf } from "./fake-services.ts";

const FOLDER = resolve(import.meta.dirname, "../../docs/images");
mkdirSync(FOLDER, { recursive: true });

const deps = busyConsole();
deps.jobs.file = await sharp(Buffer.from(DOOR)).png().toBuffer();
deps.jobs.change(jobOf({ id: "01JFRONTDOOR", sentAt: Date.now() - 20_000 }));
const server = serve({ fetch: createConsole(deps).fetch, port: 0, hostname: "127.0.0.1" });
await once(server, "listening");
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const browser = await startChromium();

async function draw(path: string, name: string, look: Look): Promise<void> {
  const page = await openPage(browser, look);
  await page.goto(base + path);
  await page.locator("#pulse.on").waitFor();
  await page
    .locator("img.picture")
    .evaluateAll((all) => Promise.all(all.map((one) => (one as HTMLImageElement).decode())));
  const png = await page.screenshot();
  const { size } = await sharp(png).webp({ quality: 88 }).toFile(join(FOLDER, name));
  console.log(`${name}: ${(size / 1_000).toFixed(0)} KB`);
}

await draw("/", "console-overview.webp", { size: DESKTOP });
await draw("/console/jobs/01JFRONTDOOR", "console-job-phone.webp", { size: PHONE, colorScheme: "dark" });
await browser.close();
if ("closeAllConnections" in server) server.closeAllConnections();
server.close();
