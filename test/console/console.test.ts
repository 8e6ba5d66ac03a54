// The console's pages over HTTP: what they show, in which words, and what their forms do.
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { type ConsoleDeps, createConsole } from "../../worker/console/console.ts";
import { KamadoError } from "../../worker/errors.ts";
import { busyConsole, emptyConsole, FakeJobs, jobOf, PICTURE } from "./fake-services.ts";
import { consoleFullOf } from "./hostile.ts";

const PAGES = [
  "/",
  "/console/jobs",
  "/console/submit",
  "/console/submit/image.check",
  "/console/submit/todo.match?as=json",
  "/console/chat",
  "/console/engine",
  "/console/schedules",
  "/console/dead-letters",
  "/console/destinations",
];
/** It wants to be markup, an attribute's end, a control character, and to turn the direction of what follows. */
const HOSTILE = `"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e'\u0007`;

const get = async (deps: ConsoleDeps, path: string, headers: Record<string, string> = {}) => {
  const answer = await createConsole(deps).request(path, { headers });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
};
const post = (deps: ConsoleDeps, path: string, fields: Record<string, string | string[] | File> = {}) => {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields))
    for (const one of Array.isArray(value) ? value : [value]) body.append(name, one);
  return createConsole(deps).request(path, { method: "POST", body });
};

describe("every page", () => {
  test.each(PAGES)("%s is whole without anything to show, and when there is much", async (path) => {
    for (const deps of [emptyConsole(), busyConsole()]) {
      const { status, text, headers } = await get(deps, path);
      expect(status).toBe(200);
      expect(headers.get("cache-control")).toBe("no-store");
      expect(text.match(/<h1/g)).toHaveLength(1);
      expect(text).toMatch(/<html lang="en">[\s\S]*<main id="main"[\s\S]*<\/main>/);
      // Nothing that a strict content security policy would stop, and nothing from elsewhere.
      expect(text).not.toMatch(
        /<style|<script(?! type="module" src="\/console\/assets\/)|\son\w+=|\sstyle=|javascript:/,
      );
      expect(text.match(/(?:src|href)="(?!\/|#|data:)[^"]*"/g)).toBeNull();
      expect(text).not.toMatch(/undefined|\[object|NaN/);
    }
  });

  test.each(PAGES)("%s is in Japanese for who reads it, and by the switch", async (path) => {
    const accepted = await get(busyConsole(), path, { "accept-language": "ja,en;q=0.5" });
    expect(accepted.text).toContain('<html lang="ja">');
    expect(accepted.text).toMatch(/<h1>[^<]*[\u3040-\u9fff]|submit/);
    const chosen = await get(busyConsole(), path, { "accept-language": "ja", cookie: "kamado_language=en" });
    expect(chosen.text).toContain('<html lang="en">');
  });
});

test("what others wrote is text on every page: ids, inputs, outputs, errors, dead letters, destinations, models", async () => {
  const deps = consoleFullOf(HOSTILE);
  const id = encodeURIComponent(HOSTILE);
  const texts = [
    ...(await Promise.all(
      [
        ...PAGES,
        `/console/jobs/${id}`,
        "/console/jobs/b",
        `/console/dead-letters/${id}`,
        `/console/jobs?text=${id}&kind=${id}&tenant=${id}&state=${id}`,
        `/console/jobs/bulk?action=replay&text=${id}`,
        `/console/submit/${id}`,
        `/console/preferences-${id}`,
      ].map(async (path) => (await get(deps, path)).text),
    )),
    await (await post(deps, "/console/destinations/resend", { key: HOSTILE })).text(),
    await (
      await post(deps, "/console/submit/image.check", {
        "input.question": HOSTILE,
        "input.image": HOSTILE,
        "policy.model": HOSTILE,
        "policy.priority": "no",
      })
    ).text(),
    await (await post(deps, "/console/dead-letters/purge", { which: "chosen", ids: HOSTILE })).text(),
    await (await post(deps, "/console/chat", { message: HOSTILE })).text(),
  ];
  for (const text of texts) {
    expect(text).not.toMatch(/<script>|<img src=x/);
    // What a field holds is what was written; all that is only shown is printable.
    const shown = text.replaceAll(/<textarea[\s\S]*?<\/textarea>|<[^>]*>/g, "");
    expect([shown.includes("\u202e"), shown.includes("\u0007")]).toEqual([false, false]);
  }
});

describe("overview", () => {
  const sentence = async (state: object) => {
    const { text } = await get(
      { ...emptyConsole(), state: () => ({ ...emptyConsole().state(), ...state }) },
      "/",
    );
    return /<h1>([^<]*)</.exec(text)![1];
  };
  test.each([
    [{ status: "READY" }, "All is well. No job is running."],
    [{ status: "BUSY", running: 1 }, "All is well. One job is running."],
    [{ status: "BUSY", running: 4, waiting: 2 }, "All is well. 4 jobs are running, 2 are waiting."],
    [{ status: "STARTING" }, "Kamado is starting. The model is being loaded."],
    [{ status: "DRAINING", running: 2 }, "Kamado is stopping. 2 jobs are being finished."],
    [{ status: "UNHEALTHY" }, "Kamado cannot work now. See below what is wrong."],
    [
      { paused: { policy: "temperature", reason: "too hot", since: 0 } },
      "No jobs are started now: the machine is too hot.",
    ],
  ])("%j is one sentence", async (state, words) => {
    expect(await sentence(state)).toBe(words);
  });

  test("what is wrong stands with what to do about it", async () => {
    const state = {
      ...emptyConsole().state(),
      status: "UNHEALTHY" as const,
      queue: { url: "q", health: "network", hint: "Check the network." },
      startCheck: {
        passed: false,
        error: { code: "clock_wrong", message: "Off by 9 min.", hint: "Set the clock." },
      },
      disk: { folder: "/data", freeBytes: 1, isFull: true, hint: "Free some space." },
    };
    const { text } = await get({ ...emptyConsole(), state: () => state }, "/");
    for (const words of ["Check the network.", "Off by 9 min.", "Set the clock.", "Free some space."])
      expect(text).toContain(words);
  });

  test("it says what today's tokens would have cost, at which price", async () => {
    const now = Date.now();
    const jobs = new FakeJobs([
      jobOf({
        id: "a",
        sentAt: now - 10_000,
        endedAt: now,
        promptTokens: 2_000_000,
        completionTokens: 500_000,
      }),
    ]);
    const { text } = await get({ ...emptyConsole(), jobs }, "/");
    expect(text).toContain("$0.60");
    expect(text).toContain("at $0.15 and $0.60 per million tokens");
  });

  test("it shows how the worker is also where the history is away, and says so", async () => {
    const jobs = new FakeJobs();
    jobs.overview = async () => {
      throw new KamadoError("history_unavailable", "The history is damaged.");
    };
    const { status, text } = await get({ ...emptyConsole(), jobs }, "/");
    expect([status, text]).toEqual([
      200,
      expect.stringMatching(/All is well[\s\S]*The history is damaged\./),
    ]);
  });

  test("what the machine does not say is named with the reason", async () => {
    const { text } = await get(busyConsole(), "/");
    expect(text).toContain("94 % · 4.9 GB");
    expect(text).toContain("cannot be read here: powermetrics needs root");
  });

  test("charts have a text and a table for who does not see them", async () => {
    const { text } = await get(busyConsole(), "/?range=day");
    expect(text).toMatch(/At most [\d.]+ of 8 slots were busy\./);
    expect(text).toMatch(/<summary>Numbers<\/summary>[\s\S]*<th scope="row">/);
  });

  test("without jobs it says how to send the first one", async () => {
    const { text } = await get(emptyConsole(), "/");
    expect(text).toContain('href="/console/submit">Send the first job');
    expect(text).toContain("kamado enqueue prompt --wait");
  });
});

describe("jobs", () => {
  test("are found by words, kind and state, which stand in the address", async () => {
    const deps = busyConsole();
    const { text } = await get(deps, "/console/jobs?state=failed&text=cam-3");
    const rows = text.match(/<tr data-key=/g)!;
    const failed = [...deps.jobs.all.values()].filter(({ state }) => state === "failed");
    expect(rows).toHaveLength(failed.length);
    expect(text).toContain('value="cam-3"');
    expect(text).toContain('href="/console/jobs?state=succeeded&amp;text=cam-3"');
    expect((await get(deps, "/console/jobs?text=nowhere")).text).toContain("Nothing found");
  });

  test("come in pages, the newest first", async () => {
    const { text } = await get(busyConsole(), "/console/jobs");
    expect(text.match(/<tr data-key=/g)).toHaveLength(50);
    const next = /href="([^"]+)" rel="next"/.exec(text)![1]!.replaceAll("&amp;", "&");
    expect((await get(busyConsole(), next)).text).toContain(">Newest<");
  });

  test("that match a filter are counted before anything is done to them, and those that come later are not meant", async () => {
    const deps = busyConsole();
    const asked = await get(deps, "/console/jobs/bulk?action=replay&state=failed&kind=prompt");
    const count = [...deps.jobs.all.values()].filter(
      ({ state, kind }) => state === "failed" && kind === "prompt",
    ).length;
    expect(asked.text).toContain(`Run ${count} jobs again`);
    expect(deps.jobs.bulks).toEqual([]);
    const action = /<form method="post" action="([^"]+)"/.exec(asked.text)![1]!.replaceAll("&amp;", "&");
    expect(await (await post(deps, action)).text()).toContain(`Done: ${count} of ${count}.`);
    expect(deps.jobs.bulks).toEqual([
      {
        action: "replay",
        filter: expect.objectContaining({ states: ["failed"], kind: "prompt", until: expect.any(Number) }),
      },
    ]);
  });
});

test("of one tenant are chosen from those that have jobs", async () => {
  const jobs = new FakeJobs([jobOf({ id: "a", tenant: "home" }), jobOf({ id: "b", tenant: "shop" })]);
  const { text } = await get({ ...emptyConsole(), jobs }, "/console/jobs?tenant=shop");
  expect(text).toMatch(/<option value="home">home<\/option><option value="shop" selected>/);
  expect(text.match(/<tr data-key=/g)).toHaveLength(1);
});

test("only what has not ended is counted for canceling, and only what has ended for running again", async () => {
  const deps = busyConsole();
  const isOpen = ({ state }: { state: string }) => ["waiting", "running"].includes(state);
  const all = [...deps.jobs.all.values()];
  const { length: open } = all.filter(isOpen);
  expect((await get(deps, "/console/jobs/bulk?action=cancel")).text).toContain(`Cancel ${open} jobs`);
  expect((await get(deps, "/console/jobs/bulk?action=replay")).text).toContain(
    `Run ${all.length - open} jobs again`,
  );
});

describe("a job", () => {
  test("has its picture, answer, probabilities, stations and deliveries", async () => {
    const { text } = await get(
      {
        ...emptyConsole(),
        jobs: new FakeJobs([
          jobOf({
            id: "a",
            deliveries: [
              {
                at: new Date().toISOString(),
                key: "k",
                to: "https://home.example/hook",
                attempt: 1,
                outcome: "failed",
                status: 503,
                tookMs: 90,
                nextAt: new Date().toISOString(),
              },
              {
                at: new Date().toISOString(),
                key: "k",
                to: "https://home.example/hook",
                attempt: 2,
                outcome: "delivered",
                status: 200,
                tookMs: 80,
              },
            ],
          }),
        ]),
      },
      "/console/jobs/a",
    );
    expect(text).toContain('src="/console/jobs/a/picture?field=image"');
    expect(text).toMatch(/class="best"><span class="break">y<\/span>[\s\S]*93%[\s\S]*7%/);
    expect(text).toMatch(/In the queue[\s\S]*400 ms[\s\S]*Running[\s\S]*2\.9 s/);
    expect(text).toMatch(/Failed<\/span> 503[\s\S]*Next try[\s\S]*Delivered<\/span> 200/);
    // A destination's query may be a secret.
    expect(text).not.toContain("token=hidden");
  });

  test("whose output has a report shows it as one, and answers as rows", async () => {
    const page = async (output: unknown) =>
      (await get({ ...emptyConsole(), jobs: new FakeJobs([jobOf({ id: "a", output })]) }, "/console/jobs/a"))
        .text;
    expect(await page({ found: true, markdown: "# Fair\n\n1. 5,200 came.\n" })).toMatch(
      /<h3>Fair<\/h3><ol><li>5,200 came\.<\/li><\/ol>[\s\S]*<summary>JSON/,
    );
    expect(await page({ answers: [{ question: "When?", answer: null }] })).toMatch(
      /<li><dl class="facts"><div><dt>question<\/dt><dd>When\?<\/dd>/,
    );
  });

  test("that found no picture shows its address and no broken picture", async () => {
    for (const code of ["object_not_found", "image_undecodable"]) {
      const error = { code, message: "image: there is no such object." };
      const jobs = new FakeJobs([jobOf({ id: "a", state: "failed", error })]);
      const { text } = await get({ ...emptyConsole(), jobs }, "/console/jobs/a");
      expect(text).toContain("s3://kamado/in/front-door.png");
      expect(text).not.toContain("<img");
    }
  });

  test("that is unknown is a page with status 404", async () => {
    const { status, text } = await get(emptyConsole(), "/console/jobs/none");
    expect([status, text]).toEqual([404, expect.stringContaining("There is no job none.")]);
  });

  test("is sent again on another model, and both results stand side by side", async () => {
    const deps = { ...emptyConsole(), jobs: new FakeJobs([jobOf({ id: "a" })]) };
    const answer = await post(deps, "/console/jobs/a/replay", { model: "gpt-oss-20b" });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/console/jobs/a"]);
    const { text } = await get(deps, "/console/jobs/a");
    expect(text).toMatch(/Side by side[\s\S]*qwen3-vl-4b-Q4_K_M[\s\S]*93%[\s\S]*gpt-oss-20b[\s\S]*69%/);
  });

  test("that waits says where in the line it is, and can be canceled; one that has ended cannot", async () => {
    const jobs = new FakeJobs([
      jobOf({ id: "a", state: "waiting", line: { position: 3, startsAt: Date.now() + 60_000 } }),
      jobOf({ id: "b" }),
    ]);
    const deps = { ...emptyConsole(), jobs };
    expect((await get(deps, "/console/jobs/a")).text).toMatch(/Number 3 in line\. It starts at about <time/);
    expect((await get(deps, "/console/jobs/b")).text).not.toContain('action="/console/jobs/b/cancel"');
    await post(deps, "/console/jobs/a/cancel");
    expect(jobs.all.get("a")!.state).toBe("canceled");
  });

  test("its picture is served only if it is one", async () => {
    const jobs = new FakeJobs([jobOf({ id: "a" })]);
    const deps = { ...emptyConsole(), jobs };
    const answer = await createConsole(deps).request("/console/jobs/a/picture?field=image");
    expect([answer.headers.get("content-type"), Buffer.from(await answer.arrayBuffer())]).toEqual([
      "image/png",
      PICTURE,
    ]);
    jobs.file = Buffer.from("<script>");
    jobs.fileType = "text/html";
    expect((await get(deps, "/console/jobs/a/picture?field=image")).status).toBe(404);
    expect((await get(deps, "/console/jobs/a/picture?field=__proto__")).status).toBe(404);
  });
});

describe("sending a job", () => {
  const picture = new File([new Uint8Array(PICTURE)], "door.png", { type: "image/png" });

  test("uploads the picture, sends the input as its types, and shows the job", async () => {
    const deps = emptyConsole();
    const answer = await post(deps, "/console/submit/image.check", {
      "input.image.file": picture,
      "input.image": "",
      "input.question": "Is it red?",
      "input.threshold": "0.7",
      "policy.priority": "9",
      "policy.callback": "https://home.example/hook",
    });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/console/jobs/job-1"]);
    expect(deps.jobs.submitted).toEqual([
      {
        kind: "image.check",
        input: { image: "s3://kamado/in/door.png", question: "Is it red?", threshold: 0.7 },
        policy: { priority: 9 },
        deliver: [{ callback: "https://home.example/hook" }],
      },
    ]);
  });

  test("that is not right comes back with all that was written, and says at each field what is wrong", async () => {
    const deps = emptyConsole();
    const answer = await post(deps, "/console/submit/image.check", {
      "input.image.file": picture,
      "input.question": "",
      "input.threshold": "7",
    });
    const text = await answer.text();
    expect(answer.status).toBe(422);
    expect(text).toMatch(/id="input\.question-wrong"[^>]*>Please fill this in\.</);
    expect(text).toContain('id="input.threshold-wrong"');
    expect(text).toContain('value="7"');
    // The picture was uploaded, and stays.
    expect(text).toContain('value="s3://kamado/in/door.png"');
    expect(deps.jobs.submitted).toEqual([]);
  });

  test("with another file in the place of a picture is refused at that field", async () => {
    const deps = emptyConsole();
    const answer = await post(deps, "/console/submit/image.check", {
      "input.image.file": new File(["milk"], "list.txt"),
      "input.question": "Is it red?",
    });
    expect([answer.status, await answer.text()]).toEqual([
      422,
      expect.stringContaining("This file is not a picture."),
    ]);
    expect(deps.jobs.submitted).toEqual([]);
  });

  test("as JSON sends what stands there, and says where it is no JSON", async () => {
    const deps = emptyConsole();
    expect((await post(deps, "/console/submit/prompt?as=json", { json: '{"prompt": "x"}' })).status).toBe(
      303,
    );
    expect(deps.jobs.submitted).toEqual([{ kind: "prompt", input: { prompt: "x" } }]);
    const answer = await post(deps, "/console/submit/prompt?as=json", { json: '{"prompt": ' });
    expect([answer.status, await answer.text()]).toEqual([
      422,
      expect.stringMatching(/This is not JSON\.[\s\S]*\{&quot;prompt&quot;: /),
    ]);
  });

  test("a form that is too long is refused before it is read", async () => {
    const headers = { "content-type": "multipart/form-data; boundary=x", "content-length": "70000000" };
    const body = new ReadableStream();
    const answer = await createConsole(emptyConsole()).request("/console/submit/prompt", {
      ...{ method: "POST", headers, body, duplex: "half" },
    });
    expect([answer.status, (await answer.json()).error.code]).toEqual([413, "body_too_large"]);
    expect(body.locked).toBe(false);
  });

  test("an entry is added to a list without a script", async () => {
    const text = await (
      await post(emptyConsole(), "/console/submit/todo.match", {
        "input.text": "milk",
        "input.todos.0.title": "Buy milk",
        add: "input.todos",
      })
    ).text();
    expect(text).toContain('name="input.todos.1.title"');
    expect(text).toContain("Buy milk");
  });
});

describe("dead letters", () => {
  test("are listed, searched and shown", async () => {
    const deps = busyConsole();
    expect(
      (await get(deps, "/console/dead-letters?queue=deliveries")).text.match(/<tr data-key=/g),
    ).toHaveLength(2);
    expect((await get(deps, "/console/dead-letters/m-0")).text).toContain(
      "&quot;kind&quot;: &quot;garage.look&quot;",
    );
  });

  test("the chosen go back at once, all only after their number was seen", async () => {
    const deps = busyConsole();
    await post(deps, "/console/dead-letters/redrive", { which: "chosen", ids: ["m-0", "m-1"] });
    expect(deps.deadLetters.done).toEqual(["redrive m-0", "redrive m-1"]);
    const asked = await (
      await post(deps, "/console/dead-letters/redrive?queue=jobs", { which: "all" })
    ).text();
    expect(asked).toContain("Send 3 back");
    expect(deps.deadLetters.done).toHaveLength(2);
    await post(deps, "/console/dead-letters/redrive?queue=jobs", { which: "all", sure: "yes" });
    expect(deps.deadLetters.done).toHaveLength(5);
  });

  test("none is removed for good before somebody was asked, and none by choosing nothing", async () => {
    const deps = busyConsole();
    expect(
      await (await post(deps, "/console/dead-letters/purge", { which: "chosen", ids: ["m-3"] })).text(),
    ).toContain("Remove 1 for good");
    expect(await (await post(deps, "/console/dead-letters/purge", { which: "chosen" })).text()).toContain(
      "Nothing is chosen.",
    );
    await post(deps, "/console/dead-letters/purge", { which: "chosen", sure: "yes" });
    expect(deps.deadLetters.done).toEqual([]);
    await post(deps, "/console/dead-letters/purge", { which: "chosen", ids: ["m-3"], sure: "yes" });
    expect(deps.deadLetters.done).toEqual(["purge m-3"]);
  });
});

test("dead letters are named on the overview, with the way to them", async () => {
  const { text } = await get(busyConsole(), "/");
  const { length } = (await busyConsole().deadLetters.list()).items;
  expect(text).toMatch(new RegExp(`were given up: ${length}\\. <a href="/console/dead-letters">`));
  expect((await get(emptyConsole(), "/")).text).not.toContain("were given up");
});

describe("the engine", () => {
  test("shows its slots, the prefix cache, and its calibration beside what the memory could give", async () => {
    const { text } = await get(busyConsole(), "/console/engine");
    expect(text.match(/data-key="slot-/g)).toHaveLength(8);
    expect(text).toContain("79%");
    // 120 GB a second for 2.6 GB.
    expect(text).toMatch(/46\.2<\/td><td class="num">80%/);
    expect(text).toMatch(/in use[\s\S]*171\.6/);
  });

  test("of a server that says nothing of itself is said so", async () => {
    expect((await get(emptyConsole(), "/console/engine")).text).toContain(
      "This server does not show its slots",
    );
  });
});

test("a destination that took nothing yet is not said to take results", async () => {
  const [row] = await busyConsole().destinations.list();
  const shown = async (delivered: number) => {
    const list = async () => [{ ...row!, state: "on" as const, delivered, failed: 2 }];
    const deps = { ...busyConsole(), destinations: { ...busyConsole().destinations, list } };
    return (await get(deps, "/console/destinations")).text;
  };
  expect(await shown(0)).toContain("No success yet");
  expect(await shown(1)).toContain("Takes results");
});

describe("chat", () => {
  const ask = (deps: ConsoleDeps, body: unknown) =>
    createConsole(deps).request("/console/chat", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/x-ndjson" },
      body: JSON.stringify(body),
    });
  const messages = [{ role: "user", content: "Hi" }];

  test("streams the answer piece by piece", async () => {
    const parts = (await (await ask(busyConsole(), { messages })).text())
      .trim()
      .split("\n")
      .map((one) => JSON.parse(one));
    expect(parts).toEqual([
      { text: "Good " },
      { text: "morning." },
      { done: expect.stringMatching(/^Done in /) },
    ]);
  });

  test("says why there is no answer, with what to do", async () => {
    expect(JSON.parse(await (await ask(emptyConsole(), { messages })).text())).toEqual({
      error: { code: "engine_unavailable", message: "The engine does not answer.", hint: expect.any(String) },
    });
    const refused = await ask(busyConsole(), { messages: [] });
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { error: expect.objectContaining({ code: "invalid_input" }) },
    ]);
  });

  test("of a form without a script has plain line ends, as with one", async () => {
    const answer = await post(busyConsole(), "/console/chat", { message: "Hi\r\nthere" });
    expect(await answer.text()).toContain("Hi\nthere");
  });

  test("answers without a script too", async () => {
    expect(await (await post(busyConsole(), "/console/chat", { message: "Hi" })).text()).toContain(
      "Good morning.",
    );
  });
});

describe("schedules", () => {
  const schedules = () => {
    const calls: unknown[] = [];
    const row = {
      name: "door",
      cron: "*/10 * * * *",
      timezone: "Asia/Tokyo",
      kind: "image.check",
      input: { a: 1 },
      enabled: true,
      source: "console" as const,
      next: Date.now() + 60_000,
      last: { at: 0, outcome: "sent" },
      job: { id: "door-1", sentAt: 0 },
      problem: null,
    };
    const note = (...call: unknown[]) => Promise.resolve(void calls.push(call));
    return {
      calls,
      service: {
        list: () => [row],
        add: async (written: unknown) => {
          if ((written as { cron: string }).cron === "never")
            throw new KamadoError("invalid_input", "cron: no such time.");
          return note("add", written);
        },
        edit: (name: string, written: object) => note("edit", name, written),
        remove: (name: string) => note("remove", name),
        runNow: async (name: string) => ({ id: `${name}-now` }),
      },
    };
  };

  test("are listed with their next run, added, paused, run and removed", async () => {
    const { calls, service } = schedules();
    const deps = { ...emptyConsole(), schedules: service };
    expect((await get(deps, "/console/schedules")).text).toMatch(
      /\*\/10 \* \* \* \*[\s\S]*Next run[\s\S]*<time/,
    );
    await post(deps, "/console/schedules", {
      name: "page",
      cron: "@daily",
      kind: "prompt",
      timezone: "",
      input: '{"prompt":"x"}',
    });
    await post(deps, "/console/schedules", {
      was: "door",
      name: "door",
      cron: "@hourly",
      kind: "prompt",
      input: "{}",
    });
    await post(deps, "/console/schedules/pause", { name: "door" });
    await post(deps, "/console/schedules/remove", { name: "door" });
    expect((await post(deps, "/console/schedules/run", { name: "door" })).headers.get("location")).toBe(
      "/console/jobs/door-now",
    );
    expect(calls).toEqual([
      ["add", { name: "page", cron: "@daily", kind: "prompt", input: { prompt: "x" } }],
      ["edit", "door", { name: "door", cron: "@hourly", kind: "prompt", input: {} }],
      ["edit", "door", { enabled: false }],
      ["remove", "door"],
    ]);
  });

  test("one that cannot be comes back with what was written", async () => {
    const answer = await post({ ...emptyConsole(), schedules: schedules().service }, "/console/schedules", {
      name: "x",
      cron: "never",
      kind: "prompt",
      input: "{}",
    });
    expect([answer.status, await answer.text()]).toEqual([
      422,
      expect.stringMatching(/no such time\.[\s\S]*value="never"/),
    ]);
  });
});

test("who may only read sees everything and no button that changes something", async () => {
  const deps: ConsoleDeps = { ...busyConsole(), mayChange: () => false };
  const id = [...busyConsole().jobs.all.keys()][0]!;
  for (const path of [
    "/console/jobs",
    `/console/jobs/${id}`,
    "/console/dead-letters",
    "/console/dead-letters/m-0",
    "/console/destinations",
  ])
    expect((await get({ ...deps, jobs: busyConsole().jobs }, path)).text).not.toContain('method="post"');
  expect((await get(deps, "/console/submit/prompt")).text).toContain("sign in with the full token");
  const empty: ConsoleDeps = { ...emptyConsole(), mayChange: () => false };
  expect((await get(empty, "/console/jobs")).text).not.toContain("Send the first job");
});

describe("the switches", () => {
  test("keep language and colours in a cookie, and go back to the page", async () => {
    const answer = await createConsole(emptyConsole()).request(
      "/console/preferences?theme=dark&language=ja&back=%2Fconsole%2Fjobs%3Fstate%3Dfailed",
    );
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/console/jobs?state=failed"]);
    const cookies = answer.headers.getSetCookie();
    expect(cookies).toEqual([
      expect.stringMatching(/^kamado_language=ja;.*SameSite=Lax/),
      expect.stringMatching(/^kamado_theme=dark;/),
    ]);
    expect((await get(emptyConsole(), "/", { cookie: "kamado_theme=dark" })).text).toContain(
      'data-theme="dark"',
    );
  });

  // A browser leaves out tabs and line ends, and then reads the name of another site.
  test.each([
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\\evil.example",
    "javascript:alert(1)",
    "",
  ])("%j is no page to go back to", async (back) => {
    const query = new URLSearchParams({ theme: "dark", back });
    const answer = await createConsole(emptyConsole()).request(`/console/preferences?${query}`);
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/"]);
  });
});

describe("files of the pages", () => {
  test("have names that change with what is in them, and are kept for a year", async () => {
    const { text } = await get(emptyConsole(), "/");
    const files = [...new Set([...text.matchAll(/"(\/console\/assets\/[^"]+)"/g)].map(([, path]) => path!))];
    expect(files).toHaveLength(3);
    for (const path of files) {
      const { status, headers } = await get(emptyConsole(), path, { "accept-encoding": "gzip" });
      expect([status, headers.get("cache-control")]).toEqual([200, "public, max-age=31536000, immutable"]);
      expect(path).toMatch(/\.[0-9a-f]{12}\.(css|js|svg)$/);
    }
  });

  test("are few and small: all of a page's files are under 20 KB packed", async () => {
    const { text } = await get(emptyConsole(), "/console/chat");
    const files = [...new Set([...text.matchAll(/"(\/console\/assets\/[^"]+)"/g)].map(([, path]) => path!))];
    const sizes = await Promise.all(
      files.map(async (path) => {
        const answer = await createConsole(emptyConsole()).request(path, {
          headers: { "accept-encoding": "gzip" },
        });
        return (await answer.arrayBuffer()).byteLength;
      }),
    );
    expect(files).toHaveLength(4);
    expect(sizes.reduce((sum, one) => sum + one, 0)).toBeLessThan(20_000);
  });
});

test("it is mounted beside other parts", async () => {
  const app = new Hono()
    .get("/state", (context) => context.text("state"))
    .route("/", createConsole(emptyConsole()));
  expect(await (await app.request("/state")).text()).toBe("state");
  expect((await app.request("/console/jobs")).status).toBe(200);
});
