// What is said of a Mac, from the outputs of Apple's commands. They were not recorded on one: they are as Apple and others document them.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../worker/doctor/finding.ts";
import { macFindings } from "../../worker/doctor/mac.ts";
import type { Memory } from "../../worker/doctor/machine.ts";
import { fakeMachine } from "./machines.ts";

const PMSET = `System-wide power settings:
Currently in use:
 standby              0
 Sleep On Power Button 1
 womp                 1
 autorestart          1
 hibernatefile        /var/vm/sleepimage
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                0 (sleep prevented by powerd, coreaudiod)
 hibernatemode        0
 ttyskeepawake        1
 displaysleep         10 (display sleep prevented by screensharingd)
 tcpkeepalive         1
`;
const UPDATES = `{
    AutomaticCheckEnabled = 1;
    AutomaticDownload = 1;
    AutomaticallyInstallMacOSUpdates = 0;
    ConfigDataInstall = 1;
    CriticalUpdateInstall = 1;
    LastSuccessfulDate = "2026-11-28 03:12:11 +0000";
}
`;
const WELL = {
  "fdesetup status": "FileVault is Off.\n",
  "defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser": "anna\n",
  "pmset -g": PMSET,
  "defaults read /Library/Preferences/com.apple.SoftwareUpdate": UPDATES,
  "sysctl -n iogpu.wired_limit_mb": "0\n",
};
type Outputs = Partial<Record<keyof typeof WELL, string | null>>;

const GB16: Memory = { totalBytes: 16 * 2 ** 30, mostBytes: (16 * 2 ** 30 * 2) / 3, from: "system" };

/** `null`: the command fails. */
async function lookAt(outputs: Outputs, startsAt: "login" | "boot" | undefined = "login", memory = GB16) {
  const findings = await macFindings(fakeMachine("darwin", { ...WELL, ...outputs }), startsAt, memory);
  return Object.fromEntries(findings.map((finding) => [finding.check, finding])) as Record<string, Finding>;
}

test("a Mac that is set up to be left alone has nothing to do", async () => {
  const found = await lookAt({});
  expect(Object.keys(found)).toEqual([
    "FileVault",
    "automatic login",
    "sleep",
    "power failure",
    "updates",
    "Metal",
  ]);
  expect(Object.values(found).map(({ status }) => status)).toEqual(Array(6).fill("ok"));
});

test("FileVault stops every start until somebody types the password, and forbids automatic login", async () => {
  const outputs = {
    "fdesetup status": "FileVault is On.\n",
    "defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser": null,
  };
  const found = await lookAt(outputs);
  expect(found.FileVault).toMatchObject({
    status: "warn",
    todo: expect.stringContaining("fdesetup authrestart"),
  });
  expect(found["automatic login"]).toMatchObject({
    status: "warn",
    todo: expect.stringMatching(/while FileVault is on.*--daemon/),
  });
});

test("FileVault that is being turned on counts as on", async () => {
  const text = "FileVault is On.\nEncryption in progress: Percent completed = 42\n";
  expect((await lookAt({ "fdesetup status": text })).FileVault).toMatchObject({ status: "warn" });
});

describe("without automatic login", () => {
  const off = { "defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser": null };

  test("a LaunchAgent starts only when somebody logs in", async () => {
    expect((await lookAt(off))["automatic login"]).toMatchObject({
      status: "warn",
      found: "off: a LaunchAgent starts only when somebody logs in",
      todo: expect.stringContaining("System Settings"),
    });
  });

  test("a LaunchDaemon starts all the same", async () => {
    expect((await lookAt(off, "boot"))["automatic login"]).toMatchObject({ status: "ok" });
  });
});

test.each([
  ["sleep", " sleep                0", " sleep                10", "sleep", "sudo pmset -a sleep 0"],
  [
    "autorestart",
    "autorestart          1",
    "autorestart          0",
    "power failure",
    "sudo pmset -a autorestart 1",
  ],
])("a Mac that would be away (%s) is told how to stay", async (_, from, to, check, todo) => {
  expect((await lookAt({ "pmset -g": PMSET.replace(from, to) }))[check]).toMatchObject({
    status: "warn",
    todo: expect.stringContaining(todo),
  });
});

test("a MacBook, which has no autorestart, gets no line about it", async () => {
  const found = await lookAt({ "pmset -g": PMSET.replace(/ autorestart.*\n/, "") });
  expect(found).not.toHaveProperty("power failure");
});

test("updates that restart the Mac by themselves are told, and a setting that is not there is not guessed", async () => {
  const on = UPDATES.replace("MacOSUpdates = 0", "MacOSUpdates = 1");
  const key = "defaults read /Library/Preferences/com.apple.SoftwareUpdate";
  expect((await lookAt({ [key]: on })).updates).toMatchObject({
    status: "warn",
    found: expect.stringMatching(/restarts by itself, at night/),
  });
  const none = UPDATES.replace(/ +AutomaticallyInstall.*\n/, "");
  for (const text of [none, null])
    expect((await lookAt({ [key]: text })).updates).toMatchObject({
      status: "warn",
      found: expect.stringMatching(/not set/),
    });
});

test.each([
  [14_000, "system", "warn", /KAMADO_MEMORY_LIMIT to use more/],
  [14_000, "KAMADO_MEMORY_LIMIT", "ok", undefined],
  [4_000, "system", "warn", /is loaded all the same, and fails/],
] as const)("a limit of Metal of %i MB beside %s is %s", async (mb, from, status, todo) => {
  const found = await lookAt({ "sysctl -n iogpu.wired_limit_mb": `${mb}\n` }, "login", { ...GB16, from });
  expect(found.Metal).toMatchObject({ status });
  if (todo) expect(found.Metal!.todo).toMatch(todo);
});

test("what cannot be asked is said to be unknown, and never to be well", async () => {
  const nothing = Object.fromEntries(Object.keys(WELL).map((key) => [key, null]));
  const found = await lookAt(nothing);
  for (const check of ["FileVault", "sleep", "Metal"])
    expect(found[check]).toMatchObject({ status: "warn", found: "cannot be told" });
});
