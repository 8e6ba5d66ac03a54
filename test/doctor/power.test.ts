// What the doctor says of pauses and of the webhook for trouble.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { policyFindings, troubleFindings } from "../../worker/doctor/power.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { fakeMachine } from "./machines.ts";

const IDLE = "/usr/sbin/ioreg -r -d 1 -w 0 -c IOHIDSystem";

test("nothing is said, and no command run, of what is not set", async () => {
  const mac = fakeMachine("darwin");
  expect(await policyFindings(loadConfig({}, { KAMADO_QUIET_HOURS: "23-7" }), mac)).toEqual([]);
  expect(await troubleFindings(loadConfig({}, {}))).toEqual([]);
  expect(mac.ran).toEqual([]);
});

test("a policy is shown with what it goes by, or with why it has no effect here", async () => {
  const config = loadConfig({}, { KAMADO_YIELD_IDLE_SECONDS: "60", KAMADO_MAX_TEMPERATURE: "85" });
  const found = await policyFindings(
    config,
    fakeMachine("darwin", { [IDLE]: '"HIDIdleTime" = 42000000000\n' }),
  );
  expect(found).toEqual([
    expect.objectContaining({
      status: "warn",
      found: expect.stringMatching(/^KAMADO_MAX_TEMPERATURE has no effect: macOS/),
    }),
    { check: "pauses", status: "ok", found: "can be decided: idleSeconds 42" },
  ]);
});

describe("the webhook", () => {
  test("is connected to and sent nothing", async () => {
    await using receiver = await startReceiver();
    const file = join(mkdtempSync(join(tmpdir(), "kamado-doctor-")), "destinations.json");
    writeFileSync(file, JSON.stringify([{ match: `${receiver.url}/`, allowPrivate: true }]));
    const url = { KAMADO_TROUBLE_URL: `${receiver.url}/hooks/s3cret` };
    const found = await troubleFindings(loadConfig({}, { ...url, KAMADO_DESTINATIONS_FILE: file }));
    expect(found).toEqual([
      { check: "trouble", status: "ok", found: "the webhook at 127.0.0.1 takes connections" },
    ]);
    expect(await troubleFindings(loadConfig({}, url))).toEqual([
      expect.objectContaining({
        status: "fail",
        found: expect.stringMatching(/^KAMADO_TROUBLE_URL: .*plain http/),
      }),
    ]);
    expect(receiver.connections()).toBe(1);
    expect(receiver.received).toEqual([]);
  });
});
