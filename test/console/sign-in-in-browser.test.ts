// What a browser itself sends with forms and links decides who gets in, and no test without one shows it: here a person signs in on this
// machine and in a home network, where browsers say less because there is no TLS, and a page of another site tries what it can.
import { Hono } from "hono";
import { type Browser, type BrowserContextOptions, devices, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { startWeb, type Web } from "../../worker/console/server.ts";
import { NO_ARTEFACTS, NO_CHROMIUM, screenshotAt, startChromium } from "../chromium.ts";
import { STATE } from "./state-sample.ts";

const TOKEN = "a-token-of-some-length";
const READ = "another-token-to-read";

let changes = 0;
const things = new Hono()
  .get("/", (context) =>
    context.html(`<title>things</title><form method="post" action="/things"><button id="change">change</button></form>
      <form method="post" action="/sign-out"><button id="out">sign out</button></form>`),
  )
  .post("/", (context) => {
    changes++;
    return context.html("<title>changed</title>");
  });
const mounts = [{ path: "/things", app: things }];

let browser: Browser;
let locked: Web;
let open: Web;
beforeAll(async () => {
  if (NO_CHROMIUM !== null) return;
  const state = () => STATE;
  locked = await startWeb({ port: 0, state, mounts, token: secret(TOKEN), readToken: secret(READ) });
  open = await startWeb({ port: 0, state, mounts });
  browser = await startChromium(["mac.local", "evil.example"]);
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await Promise.all([locked?.stop(), open?.stop()]);
});
beforeEach(({ skip }) => skip(NO_CHROMIUM !== null, NO_CHROMIUM ?? ""));

async function visitor(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  onTestFinished(() => context.close());
  return context.newPage();
}
const at = ({ url }: Web, host: string, path: string) => `${url.replace("127.0.0.1", host)}${path}`;

async function signIn(page: Page, host: string, token: string): Promise<void> {
  await page.goto(at(locked, host, "/things"));
  expect(await page.locator("label[for=token]").textContent()).toBe("Token");
  // The field has the focus.
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
}

test.each(["localhost", "mac.local"])(
  "at %s a wrong token is said to be wrong, and the right one leads to what was wanted",
  async (host) => {
    const page = await visitor();
    await signIn(page, host, "wrong");
    expect(await page.locator("[role=alert]").textContent()).toContain("wrong");
    await page.locator("#token").fill(TOKEN);
    await page.getByRole("button").click();
    await page.waitForURL("**/things");
    await page.locator("#change").click();
    await page.waitForFunction(() => document.title === "changed");
  },
);

// Browsers say less there.
describe("in a home network", () => {
  const host = "mac.local";

  test("the token to read shows everything and changes nothing, until somebody signs out", async () => {
    const page = await visitor();
    await signIn(page, host, READ);
    await page.waitForURL("**/things");
    const before = changes;
    await page.locator("#change").click();
    await page.getByText("read_only").waitFor();
    expect(changes).toBe(before);
    await page.goto(at(locked, host, "/things"));
    await page.locator("#out").click();
    await page.waitForURL("**/sign-in");
    await page.goto(at(locked, host, "/things"));
    await page.waitForURL("**/sign-in?next=%2Fthings");
  });

  test("a page of another site changes nothing for somebody who is signed in", async () => {
    const page = await visitor();
    await signIn(page, host, TOKEN);
    await page.waitForURL("**/things");
    const before = changes;
    const form = `<form method="post" action="${at(locked, host, "/things")}"><button>win</button></form>`;
    await page.goto(`data:text/html,${encodeURIComponent(form)}`);
    await Promise.all([page.waitForURL("**/sign-in**"), page.getByRole("button").click()]);
    expect(changes).toBe(before);
  });
});

test("somebody who is signed in follows a link of another site to the page, and need not sign in again", async () => {
  const page = await visitor();
  await signIn(page, "localhost", TOKEN);
  await page.waitForURL("**/things");
  const link = `<a href="${at(locked, "localhost", "/things")}">things</a>`;
  await page.goto(`data:text/html,${encodeURIComponent(link)}`);
  await page.getByRole("link").click();
  await page.waitForURL("**/things");
  expect(await page.title()).toBe("things");
});

describe("without a login, on this machine", () => {
  test("our own form works, and that of another site does not", async () => {
    const page = await visitor();
    await page.goto(at(open, "localhost", "/things"));
    await page.locator("#change").click();
    await page.waitForFunction(() => document.title === "changed");
    const before = changes;
    const form = `<form method="post" action="${at(open, "localhost", "/things")}"><button>win</button></form>`;
    await page.goto(`data:text/html,${encodeURIComponent(form)}`);
    const [answer] = await Promise.all([page.waitForResponse("**/things"), page.getByRole("button").click()]);
    expect([answer.status(), changes]).toEqual([403, before]);
  });

  test("a name that was made to mean this machine is refused", async () => {
    const page = await visitor();
    const answer = await page.goto(at(open, "evil.example", "/state"));
    expect([answer!.status(), await page.content()]).toEqual([403, expect.not.stringContaining("amazonaws")]);
  });
});

const LOOKS: [string, BrowserContextOptions][] = [
  ["desktop", {}],
  ["phone", { ...devices["iPhone 13"], locale: "ja-JP" }],
  ["dark", { ...devices["iPhone 13"], colorScheme: "dark" }],
];
test.for(LOOKS)("the page fits the screen: %s", async ([name, options], { skip }) => {
  skip(NO_ARTEFACTS !== null, NO_ARTEFACTS ?? "");
  const page = await visitor(options);
  await page.goto(at(locked, "localhost", "/sign-in"));
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
  await page.screenshot({ path: screenshotAt(`sign-in-${name}.png`) });
});
