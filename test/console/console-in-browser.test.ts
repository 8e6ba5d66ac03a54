// The console as people use it: in a browser, on a real served Kamado whose engine answers when the test says so.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createConsole } from "../../worker/console/console.ts";
import { startWeb } from "../../worker/console/server.ts";
import { NO_ARTEFACTS, NO_CHROMIUM, startChromium } from "../chromium.ts";
import { served } from "../cli/process.ts";
import { DESKTOP, keepPicture, type Look, openPage, PHONE } from "./browser.ts";
import { DOOR } from "./door.ts";
import { MODELS, startEngineStub } from "./engine-stub.ts";
import { consoleFullOf } from "./hostile.ts";

let browser: Browser;
let engine: Awaited<ReturnType<typeof startEngineStub>>;
let kamado: Awaited<ReturnType<typeof served>>;
let folder: string;
let web: string;

beforeAll(async () => {
  if (NO_CHROMIUM !== null) return;
  folder = await mkdtemp(join(tmpdir(), "kamado-console-"));
  engine = await startEngineStub();
  const variables = { KAMADO_ENGINE_URL: engine.url, KAMADO_MODEL: MODELS[0]!, KAMADO_DATA_DIR: folder };
  [browser, kamado] = await Promise.all([startChromium(), served(["--in-memory"], variables)]);
  web = kamado.addresses.web;
});
afterAll(async () => {
  await browser?.close();
  kamado?.child.kill("SIGTERM");
  await kamado?.exited;
  await engine?.close();
  if (folder) await rm(folder, { recursive: true });
});
beforeEach(({ skip }) => skip(NO_CHROMIUM !== null, NO_CHROMIUM ?? ""));

/** A page that notes what it would not load, run or ask. */
async function open(path: string, look?: Look): Promise<Page & { wrong: string[] }> {
  const page = Object.assign(await openPage(browser, look), { wrong: [] as string[] });
  page.on("pageerror", ({ message }) => page.wrong.push(message));
  page.on("console", (message) => message.type() === "error" && page.wrong.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(web) && !/^(data|blob):/.test(request.url()))
      page.wrong.push(request.url());
  });
  await page.goto(web + path);
  return page;
}

async function sendPicture(page: Page, question: string): Promise<void> {
  await page.goto(`${web}/console/submit/image.check`);
  const buffer = await sharp(Buffer.from(DOOR)).png().toBuffer();
  await page
    .locator('input[type="file"]')
    .first()
    .setInputFiles({ name: "door.png", mimeType: "image/png", buffer });
  await page.locator(".drop img").waitFor();
  await page.getByLabel("question").fill(question);
  await page.getByRole("button", { name: "Send the job" }).click();
}

test("a picture is sent with a question from the form, the job is watched moving, and the answer appears by itself", async () => {
  const release = engine.hold();
  const page = await open("/console/submit", { size: PHONE, colorScheme: "dark" });
  await page.getByRole("link", { name: /image\.check/ }).click();
  await sendPicture(page, "Is the door locked?");
  await page.locator('[role="status"]', { hasText: "Running" }).waitFor();
  await keepPicture(page, "job-running-phone-dark");
  release();
  await page.locator('[role="status"]', { hasText: "Succeeded" }).waitFor();
  expect(await page.locator(".big").innerText()).toMatch(/^y\s+yes$/);
  expect(await page.locator(".bars").innerText()).toMatch(/y\s+93%\s+n\s+7%/);
  const size = await page
    .locator("img.picture")
    .evaluate((image) => (image as HTMLImageElement).naturalWidth);
  expect(size).toBe(640);
  await page.locator(".badge", { hasText: "Delivered" }).waitFor();
  await page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)");
  await keepPicture(page, "job-phone-dark");
  expect(page.wrong).toEqual([]);
});

test("a page costs few requests and little to load, and asks nobody else", async () => {
  const page = await openPage(browser);
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  const asked: string[] = [];
  let bytes = 0;
  session.on("Network.requestWillBeSent", ({ request }) => void asked.push(request.url));
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  await page.goto(`${web}/`);
  await page.locator("#pulse", { hasText: "Live" }).waitFor();
  expect(asked.length).toBeLessThanOrEqual(6);
  expect(asked.filter((url) => !url.startsWith(web))).toEqual([]);
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(100_000);
});

describe("on a console with more of everything", () => {
  beforeEach(({ skip }) => skip(NO_ARTEFACTS !== null, NO_ARTEFACTS ?? ""));

  test("an answer of another model stands beside the first one", async () => {
    const page = await open("/console/submit");
    await sendPicture(page, "Is there a parcel at the door?");
    await page.locator('[role="status"]', { hasText: "Succeeded" }).waitFor();
    await page.getByLabel("Run again, on this model").fill(MODELS[1]!);
    await page.getByRole("button", { name: "Run again" }).click();
    const compared = page.locator("#compared");
    await compared.locator("article", { hasText: "81%" }).waitFor();
    expect(await compared.innerText()).toMatch(/door-small[\s\S]*93%[\s\S]*door-large[\s\S]*81%/);
    await keepPicture(page, "compared-desktop", { fullPage: true });
    expect(page.wrong).toEqual([]);
  });

  test("the list follows what is typed into the search, and the address with it", async () => {
    const page = await open("/console/jobs");
    await page.locator("tbody tr").nth(2).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("parcel");
    await page.waitForURL(/text=parcel/);
    await expect.poll(() => page.locator("tbody tr").allInnerTexts()).toHaveLength(2);
    for (const row of await page.locator("tbody tr").allInnerTexts()) expect(row).toContain("parcel");
    await page.locator('[role="search"] input').fill("no such words");
    await page.getByText("Nothing found").waitFor();
    expect(page.wrong).toEqual([]);
  });

  test("a job that is sent meanwhile comes into the list, and a hidden page listens no more", async () => {
    const page = await open("/console/jobs");
    await page.locator("#pulse", { hasText: "Live" }).waitFor();
    const before = await page.locator("tbody tr").count();
    const other = await open("/console/submit");
    await sendPicture(other, "Is the garage closed?");
    await page.locator("tr", { hasText: "garage" }).waitFor();
    expect(await page.locator("tbody tr").count()).toBe(before + 1);
    await page.evaluate(
      "Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))",
    );
    await page.locator("#pulse", { hasText: "Paused" }).waitFor();
    await page.evaluate(
      "Object.defineProperty(document, 'hidden', { value: false }); document.dispatchEvent(new Event('visibilitychange'))",
    );
    await page.locator("#pulse", { hasText: "Live" }).waitFor();
  });

  test("all dead letters go back to the queue at once, after their number was seen", async () => {
    const { endpoint, queue } = kamado.addresses;
    const credentials = { accessKeyId: "any", secretAccessKey: "thing" };
    const sqs = new SQSClient({ endpoint, region: "us-east-1", credentials });
    for (const id of ["lost-1", "lost-2"])
      await sqs.send(
        new SendMessageCommand({
          QueueUrl: queue,
          MessageBody: JSON.stringify({ id, kind: "garage.look", input: {} }),
        }),
      );
    sqs.destroy();
    const page = await open("/console/dead-letters");
    await expect
      .poll(async () => {
        await page.reload();
        return page.locator("tbody tr").count();
      })
      .toBe(2);
    await keepPicture(page, "dead-letters-desktop");
    await page.getByRole("button", { name: "Send all back (2)" }).click();
    await page.getByRole("button", { name: "Send 2 back" }).click();
    await page.getByText("Done: 2 of 2.").waitFor();
    expect(page.wrong).toEqual([]);
  });

  test("a chat shows the answer while it is written, and can be stopped", async () => {
    const release = engine.hold();
    const page = await open("/console/chat");
    await page.getByLabel("Your message").fill("Hi");
    await page.keyboard.press("Enter");
    await page.locator(".said.it", { hasText: /^Good $/ }).waitFor();
    expect(await page.getByRole("button", { name: "Send" }).isVisible()).toBe(false);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.").waitFor();
    release();
    await page.getByLabel("Your message").fill("Again");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".said.it", { hasText: "Good morning." }).waitFor();
    await page.getByText(/^Done in /).waitFor();
    expect(page.wrong).toEqual([]);
  });

  test("without a script a job can be sent and its answer read", async () => {
    const page = await open("/console/submit/image.check", { javaScriptEnabled: false });
    await page.getByLabel("question").fill("Is it?");
    await page.getByRole("button", { name: "Send the job" }).click();
    await page.getByText("Please correct these fields").waitFor();
    expect(await page.getByLabel("question").inputValue()).toBe("Is it?");
    const buffer = await sharp(Buffer.from(DOOR)).png().toBuffer();
    await page
      .locator('input[type="file"]')
      .first()
      .setInputFiles({ name: "door.png", mimeType: "image/png", buffer });
    await page.getByRole("button", { name: "Send the job" }).click();
    await expect
      .poll(async () => {
        await page.reload();
        return page.locator(".big").allInnerTexts();
      })
      .toEqual([expect.stringMatching(/^y/)]);
  });
});

const PATHS = {
  overview: "/",
  jobs: "/console/jobs",
  job: "/console/jobs",
  kinds: "/console/submit",
  form: "/console/submit/todo.match",
  json: "/console/submit/prompt?as=json",
  "dead-letters": "/console/dead-letters",
  destinations: "/console/destinations",
  engine: "/console/engine",
  chat: "/console/chat",
  schedules: "/console/schedules",
};
const LOOKS: Record<string, Look> = {
  "desktop-light": { size: DESKTOP },
  "phone-dark": { size: PHONE, colorScheme: "dark" },
  "desktop-dark": { size: DESKTOP, colorScheme: "dark" },
  "phone-light": { size: PHONE },
  "desktop-ja": { size: DESKTOP, locale: "ja-JP" },
  "phone-ja": { size: PHONE, locale: "ja-JP" },
};

test.each([
  ["a word of 5,000 letters", "x".repeat(5_000)],
  ["a word of 1,000 characters that are written from the right", `\u202e${"\u0645".repeat(1_000)}`],
  ["marks that stand above each other", `a${"\u0301".repeat(1_000)}`],
])("%s, wherever others wrote it, makes no page wider than a phone", async (_, text) => {
  const mounts = [{ path: "/", app: createConsole(consoleFullOf(text)) }];
  const hostile = await startWeb({ port: 0, state: consoleFullOf(text).state, mounts });
  onTestFinished(() => hostile.stop());
  const page = await openPage(browser, { size: PHONE });
  const paths = [
    "",
    "engine",
    "chat",
    "schedules",
    "dead-letters",
    "destinations",
    "jobs",
    "jobs/b",
    "submit",
  ];
  const id = encodeURIComponent(text.slice(0, 200));
  if (text.length > 2_000) paths.push(`jobs/${text}`, `dead-letters/${text}`);
  paths.push(`jobs?text=${id}&kind=${id}`, `submit/${id}`, `jobs/bulk?action=replay&text=${id}`);
  const wide: unknown[] = [];
  for (const path of paths) {
    await page.goto(`${hostile.url}/${path === "" ? "" : `console/${path}`}`);
    // That of the window grows with the page.
    const width = await page.evaluate<number>("document.documentElement.scrollWidth");
    if (width > PHONE.width) wide.push([path.slice(0, 40), width]);
  }
  await page.context().close();
  expect(wide).toEqual([]);
});

describe("everybody can use every page: nothing is serious for axe, and nothing is wider than the screen", () => {
  beforeEach(({ skip }) => skip(NO_ARTEFACTS !== null, NO_ARTEFACTS ?? ""));

  test.each(Object.keys(LOOKS))("%s", async (name) => {
    const page = await openPage(browser, LOOKS[name]);
    const found: string[] = [];
    for (const [shown, path] of Object.entries(PATHS)) {
      await page.goto(web + path);
      if (shown === "job") await page.locator("a.row").first().click();
      await page.locator("h1").waitFor();
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate<axe.AxeResults>("axe.run()");
      for (const { id, impact, nodes } of violations)
        if (impact === "serious" || impact === "critical")
          found.push(`${shown}: ${id} ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      // The width inside the window of a phone grows with the page.
      const screen = (LOOKS[name]!.size ?? DESKTOP).width;
      if (width > screen) found.push(`${shown}: ${width} wide on ${screen}`);
      await keepPicture(page, `${shown}-${name}`, { fullPage: name.startsWith("phone") });
    }
    await page.context().close();
    expect(found).toEqual([]);
  });
});
