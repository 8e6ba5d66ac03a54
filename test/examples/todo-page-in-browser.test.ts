// The Todo service's page in a browser, with a Kamado that runs the demo model: what a person does and sees, from the first todo to a
// sentence that changes the list by itself.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, devices, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { findQueue } from "../../examples/todo-service/queue.ts";
import { startTodoService, type TodoService } from "../../examples/todo-service/service.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { NO_ARTEFACTS, NO_CHROMIUM, screenshotAt, startChromium } from "../chromium.ts";
import { served } from "../cli/process.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-todo-page-"));
let service: TodoService;
let browser: Browser;

beforeAll(async () => {
  if (NO_CHROMIUM !== null) return;
  // What the README says: the address is allowed, and the running Kamado is found by its data folder.
  const here = { KAMADO_DATA_DIR: folder };
  service = await startTodoService({ port: 0, findQueue: () => findQueue(loadConfig({}, here)) });
  const destinations = join(folder, "destinations.json");
  writeFileSync(destinations, JSON.stringify([{ match: `${service.url}/`, allowPrivate: true }]));
  browser = await startChromium();
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await service?.stop();
});

/** What is wrong on a page fails its test: an error of its script, a violation of its policy. */
async function open(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${service.url}/`) && !request.url().startsWith("data:"))
      errors.push(`asked ${request.url()}`);
  });
  onTestFinished(async () => {
    await context.close();
    expect(errors.filter((text) => !text.startsWith("Failed to load resource"))).toEqual([]);
  });
  await page.goto(service.url);
  return page;
}

const todo = (page: Page, title: string) => page.locator("#open .todo", { hasText: title });
const addTodo = async (page: Page, title: string, category: string) => {
  await page.locator("#add [name=title]").fill(title);
  await page.locator("#add [name=category]").fill(category);
  await page.locator("#add [name=category]").press("Enter");
  await todo(page, title).waitFor();
};
const groups = (page: Page) => page.locator("#open h2").allTextContents();

beforeEach(({ skip }) => skip(NO_CHROMIUM !== null, NO_CHROMIUM ?? ""));

describe("a person", () => {
  test("adds todos, which stand below their categories, and another tab shows them by itself", async () => {
    const page = await open();
    const other = await open();
    await page.locator("#empty").waitFor();
    await addTodo(page, "buy milk", "shopping");
    await addTodo(page, "call the dentist", "health");
    await addTodo(page, "pay the rent", "");
    await addTodo(page, "fix the bike", "home");
    expect(await groups(page)).toEqual(["health", "home", "shopping", "No category"]);
    await todo(other, "fix the bike").waitFor();
    expect(await groups(other)).toEqual(await groups(page));
  });

  test("edits, ticks off and deletes one, with the keyboard alone", async () => {
    const page = await open();
    const other = await open();
    await todo(page, "pay the rent").locator(".title").focus();
    await page.keyboard.press("Enter");
    await page.locator("#edit [name=title]").fill("pay the rent <b>today</b>");
    await page.locator("#edit [name=note]").fill("by <script>alert(1)</script> transfer");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("#edit").waitFor({ state: "hidden" });
    await todo(other, "pay the rent <b>today</b>").waitFor();
    expect(await todo(other, "rent").locator(".last").textContent()).toBe(
      "by <script>alert(1)</script> transfer",
    );
    expect(await page.locator("#open b, #open script").count()).toBe(0);

    await todo(page, "rent").locator("input").focus();
    await page.keyboard.press("Space");
    await other.locator("#done summary").filter({ hasText: "(1)" }).waitFor();
    expect(await groups(other)).not.toContain("No category");

    await page.locator("#done summary").focus();
    await page.keyboard.press("Enter");
    await page.locator("#done .title").press("Enter");
    for (const _ of [1, 2]) await page.locator("[data-act=remove]").press("Enter");
    await other.locator("#done").waitFor({ state: "hidden" });
  });

  test("is told when a todo is gone, and when the service does not answer", async () => {
    const page = await open();
    await addTodo(page, "short-lived", "home");
    await todo(page, "short-lived").locator(".title").click();
    const todos = (await (await fetch(`${service.url}/todos`)).json()) as { id: string; title: string }[];
    const { id } = todos.find(({ title }) => title === "short-lived")!;
    await fetch(`${service.url}/todos/${id}`, { method: "DELETE" });
    await page.locator("#edit [name=title]").fill("too late");
    await page.locator("#edit button.strong").click();
    await page.locator("#edit .problem", { hasText: "This todo was deleted elsewhere." }).waitFor();
    await page.locator("[data-act=cancel]").click();

    await page.context().setOffline(true);
    await page.locator("#add [name=title]").fill("not lost");
    await page.locator("#add button").click();
    await page.locator("#add .problem", { hasText: "The service does not answer." }).waitFor();
    await page.context().setOffline(false);
    await page.locator("#add button").click();
    await todo(page, "not lost").waitFor();
  });

  const say = async (page: Page, text: string) => {
    await page.locator("#say [name=text]").fill(text);
    await page.locator("#say button").click();
  };

  test("is told what to do where no Kamado runs, and keeps what they wrote", async () => {
    const page = await open();
    await page.locator("#no-kamado", { hasText: "No Kamado runs on this machine" }).waitFor();
    await say(page, "we are out of milk");
    await page.locator("#say [role=alert]", { hasText: "npm start" }).waitFor();
    expect(await page.locator("#say [name=text]").inputValue()).toBe("we are out of milk");
  });

  test("says it in their own words to a Kamado that runs, and the list changes by itself in every tab", async ({
    skip,
  }) => {
    skip(NO_ARTEFACTS !== null, NO_ARTEFACTS ?? "");
    const page = await open();
    const phone = await open({ ...devices["iPhone 15"]!, colorScheme: "dark", locale: "ja-JP" });
    const kamado = await served(["--in-memory"], {
      KAMADO_BACKEND: "auto",
      KAMADO_DATA_DIR: folder,
      KAMADO_DESTINATIONS_FILE: join(folder, "destinations.json"),
    });
    await say(page, "we are out of milk");
    await page.locator(".sentence.waiting").waitFor();
    await page.locator(".sentence.update", { hasText: "buy milk" }).waitFor({ timeout: 60_000 });
    await todo(phone, "buy milk").locator(".last", { hasText: "we are out of milk" }).waitFor();
    await say(page, "we still need stamps");
    await page.locator(".sentence.create").waitFor();
    await todo(page, "we still need stamps").waitFor();
    await shoot(page, phone);
    kamado.child.kill("SIGTERM");
    await kamado.exited;
  }, 120_000);

  test("gets the page in their language, and can switch", async () => {
    const page = await open({ locale: "ja-JP" });
    await page.locator("h1", { hasText: "やること" }).waitFor();
    await page.locator("header a").click();
    await page.locator("h1", { hasText: "Todos" }).waitFor();
    await page.reload();
    await page.locator("h1", { hasText: "Todos" }).waitFor();
  });
});

/** Kept to be looked at. */
async function shoot(page: Page, phone: Page): Promise<void> {
  const take = (of: Page, name: string, fullPage = true) =>
    of.screenshot({ path: screenshotAt(`todo-${name}.png`), fullPage });
  await page.setViewportSize({ width: 1_280, height: 800 });
  await take(page, "desktop-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await take(page, "desktop-dark");
  await take(phone, "phone-dark");
  await phone.emulateMedia({ colorScheme: "light" });
  await take(phone, "phone-light");
  await todo(phone, "buy milk").locator(".title").click();
  await take(phone, "phone-edit", false);
}
