// What a newcomer sees before anything is installed. Runs install.mjs and the command in a folder without node_modules.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");

/** A checkout with nothing installed, on a machine that has only the given programs. */
function run(command: string, args: string[], { path = "/nowhere" } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "kamado-install-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of ["install.mjs", "kamado", "package.json", "package-lock.json"])
    copyFileSync(join(ROOT, file), join(folder, file));
  const { status, stderr } = spawnSync(command, args, { cwd: folder, env: { PATH: path }, encoding: "utf8" });
  return { status, lines: stderr.trimEnd().split("\n") };
}

test("without npm the installation says how large it is, and then what is missing", () => {
  const { status, lines } = run(process.execPath, ["install.mjs"]);
  expect(status).toBe(1);
  expect(lines).toEqual([
    expect.stringMatching(/^kamado: installing .* minutes, and up to [\d.]+ GB/),
    expect.stringMatching(/^kamado: npm is missing; install it/),
  ]);
});

test("without Node the command says so in one line", () => {
  const { status, lines } = run("/bin/sh", ["./kamado", "--help"]);
  expect(status).toBe(1);
  expect(lines).toEqual([expect.stringMatching(/^kamado: Node is missing; install Node 20 or later/)]);
});

test("a shell that does not know where Node is, as over ssh, runs the Node that was installed into the folder", () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-install-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const clone = join(folder, "my clone");
  mkdirSync(join(clone, "node_modules/.bin"), { recursive: true });
  copyFileSync(join(ROOT, "kamado"), join(clone, "kamado"));
  const node = '#!/bin/sh\necho "node $*"\n';
  writeFileSync(join(clone, "node_modules/.bin/node"), node, { mode: 0o755 });
  symlinkSync("my clone/kamado", join(folder, "kamado"));
  const ran = ["install.mjs", "worker/cli/start.mjs jobs a b"].map((what) => `node ${clone}/${what}`);
  const env = { PATH: "/nowhere" };
  const by = (command: string) =>
    spawnSync("/bin/sh", [command, "jobs", "a b"], { cwd: clone, env, encoding: "utf8" });
  for (const command of ["kamado", "./kamado", join(clone, "kamado")])
    expect(by(command)).toMatchObject({ stderr: "", stdout: `${ran.join("\n")}\n` });
  env.PATH = "/usr/bin:/bin";
  rmSync(join(clone, "node_modules"), { recursive: true });
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/node"), node, { mode: 0o755 });
  env.PATH = `${folder}/bin:${env.PATH}`;
  // By a link, and before anything is installed.
  expect(by("../kamado")).toMatchObject({ stderr: "", stdout: `${ran.join("\n")}\n` });
});

describe("two commands during the first installation", () => {
  /** An npm that says that it is there, and ends when the file `gate`, a pipe, is written to; with what is written as its status. */
  const NPM = `#!/bin/sh
echo "npm $$ called" >&2
read status < "$(dirname "$0")/gate"
if [ "$status" = 0 ]; then mkdir -p node_modules/.bin && : > node_modules/.bin/node; fi
exit "$status"
`;

  function checkout() {
    const folder = mkdtempSync(join(tmpdir(), "kamado-install-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    copyFileSync(join(ROOT, "install.mjs"), join(folder, "install.mjs"));
    writeFileSync(join(folder, "package-lock.json"), '{ "packages": {} }');
    writeFileSync(join(folder, "npm"), NPM, { mode: 0o755 });
    execFileSync("mkfifo", [join(folder, "gate")]);
    const end = (status: number) => writeFileSync(join(folder, "gate"), `${status}\n`);
    return { folder, end };
  }

  function install(folder: string) {
    const child = spawn(process.execPath, ["install.mjs"], {
      cwd: folder,
      env: { PATH: `${folder}:/usr/bin:/bin` },
      stdio: ["ignore", "ignore", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (more: string) => {
      text += more;
    });
    const said = async (words: RegExp): Promise<string[]> => {
      for (;;) {
        const found = words.exec(text);
        if (found) return found;
        await once(child.stderr, "data");
      }
    };
    return { child, said, status: statusOf(child), text: () => text };
  }
  const statusOf = async (child: ChildProcess) => (await once(child, "close"))[0] as number | null;
  const CALLED = /npm (\d+) called/;
  const WAITS = /another command installs already .*; waiting for it/;

  test("an update leaves the old packages to what runs from the folder until the new ones are whole, and keeps what is cached", async () => {
    const { folder, end } = checkout();
    const packages = join(folder, "node_modules");
    for (const name of ["old-package", ".cache/kamado"]) mkdirSync(join(packages, name), { recursive: true });
    const failed = install(folder);
    await failed.said(CALLED);
    expect(readdirSync(packages)).toEqual([".cache", "old-package"]);
    end(1);
    expect(await failed.status).toBe(1);
    expect(readdirSync(packages)).toEqual([".cache", "old-package"]);

    const update = install(folder);
    await update.said(CALLED);
    expect(readdirSync(packages)).toEqual([".cache", "old-package"]);
    end(0);
    expect(await update.status).toBe(0);
    expect(readdirSync(packages).toSorted()).toEqual([".bin", ".cache", ".kamado-lock"]);
    expect(existsSync(join(packages, ".cache/kamado"))).toBe(true);
    expect(readdirSync(folder).filter((name) => name.startsWith(".kamado"))).toEqual([]);
  });

  test("the second waits for the first, says so, and installs nothing itself", async () => {
    const { folder, end } = checkout();
    const first = install(folder);
    await first.said(CALLED);
    const second = install(folder);
    await second.said(WAITS);
    end(0);
    expect([await first.status, await second.status]).toEqual([0, 0]);
    expect(second.text()).not.toMatch(CALLED);
    expect(second.text()).not.toContain("1 to 5 minutes");
  });

  test("the second installs when the first could not", async () => {
    const { folder, end } = checkout();
    const first = install(folder);
    await first.said(CALLED);
    const second = install(folder);
    await second.said(WAITS);
    end(1);
    expect(await first.status).toBe(1);
    await second.said(CALLED);
    end(0);
    expect(await second.status).toBe(0);
  });

  test("an installation that was killed holds nobody up, once its npm has ended too", async () => {
    const { folder, end } = checkout();
    const first = install(folder);
    const npm = Number((await first.said(CALLED))[1]);
    // It notes the number of its npm just after it has started it.
    const lock = () => readFileSync(join(folder, ".kamado-installing"), "utf8");
    await expect.poll(lock).toBe(`${first.child.pid} ${npm}`);
    first.child.kill("SIGKILL");
    await once(first.child, "exit");
    const second = install(folder);
    await second.said(WAITS);
    process.kill(npm, "SIGKILL");
    await second.said(CALLED);
    end(0);
    expect(await second.status).toBe(0);
  });

  test.each(["2147483646", "2147483646 2147483645", "", "no number"])(
    "a lock that nobody holds any more is taken over: %j",
    async (content) => {
      const { folder, end } = checkout();
      const path = join(folder, ".kamado-installing");
      writeFileSync(path, content);
      if (!/\d/.test(content)) utimesSync(path, 0, 0);
      const one = install(folder);
      await one.said(CALLED);
      end(0);
      expect(await one.status).toBe(0);
      expect(existsSync(path)).toBe(false);
    },
  );

  test("of two that take it over at the same time one installs", async () => {
    const { folder, end } = checkout();
    writeFileSync(join(folder, ".kamado-installing"), "2147483646");
    const both = [install(folder), install(folder)];
    const [waits] = await Promise.race(
      both.map(async (one, index) => [index, await one.said(WAITS)] as const),
    );
    await both[1 - waits]!.said(CALLED);
    end(0);
    expect(await Promise.all(both.map(({ status }) => status))).toEqual([0, 0]);
    expect(both[waits]!.text()).not.toMatch(CALLED);
  });

  test("a process that has got the number of a killed one does not hold the lock for ever", async () => {
    const { folder, end } = checkout();
    const path = join(folder, ".kamado-installing");
    writeFileSync(path, String(process.pid));
    utimesSync(path, 0, 0);
    const one = install(folder);
    await one.said(CALLED);
    end(0);
    expect(await one.status).toBe(0);
  });
});
