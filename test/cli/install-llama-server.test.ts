// The toolchain here is a stub: scripts by the names of git, cmake, make and c++ that print what the real ones print and
// build a file that does nothing. What is tested is the command around them.
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { barOf, minutes } from "../../worker/cli/commands/engine-install.ts";
import { stepsIn } from "../../worker/engine/install/install.ts";
import { bundledTag, findLlamaServer, placeOf } from "../../worker/engine/install/place.ts";
import { howToInstall } from "../../worker/engine/install/tools.ts";
import { until } from "../engine/running.ts";
import { kamado } from "./process.ts";

let folder: string;
let dataDir: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kamado-"));
  dataDir = join(folder, "home");
  tool("git", '[ "$1" = clone ] && mkdir -p "$4"; exit 0');
  tool("c++", "exit 0");
  tool("make", "exit 0");
  cmake('echo "[ 50%] half"; echo "[100%] all"');
});
afterEach(() => rmSync(folder, { recursive: true }));

function tool(name: string, script: string): void {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nPATH=/usr/bin:/bin\necho ${name} "$@" >> ${folder}/calls\n${script}\n`);
  chmodSync(path, 0o755);
}

/** A cmake whose build runs `script` and then leaves a program. */
function cmake(script: string): void {
  const program = 'printf "#!/bin/sh\\nexit 0\\n" > "$2/bin/llama-server" && chmod +x "$2/bin/llama-server"';
  tool("cmake", `[ "$1" = --build ] || exit 0\nmkdir -p "$2/bin"\n${script}\n${program}`);
}

const calls = () => readFileSync(join(folder, "calls"), "utf8");
const install = (...flags: string[]) => {
  const child = kamado(["engine", "install-llama-server", "--data-dir", dataDir, ...flags], { PATH: folder });
  let [out, err] = ["", ""];
  child.stdout!.on("data", (data) => (out += data));
  child.stderr!.on("data", (data) => (err += data));
  return { child, ended: once(child, "close").then(([code]) => ({ code, out, err })) };
};
const leftovers = () => readdirSync(join(dataDir, "llama-server")).filter((name) => name !== "build.log");

describe("kamado engine install-llama-server", { timeout: 120_000 }, () => {
  test("builds it, shows the progress, and says the second time that it is installed", async () => {
    const path = placeOf(dataDir, bundledTag());
    const { code, out } = await install("--jobs", "3").ended;
    expect([code, existsSync(path), findLlamaServer(dataDir)]).toEqual([0, true, path]);
    expect(out).toMatch(/unpacking the source\n.*looking at this machine\n.*building\n.* 50 % .*\n.* 100 %/);
    expect(calls()).toContain("--target llama-server --parallel 3");
    expect(leftovers()).toEqual([bundledTag()]);

    const before = calls();
    const second = await install().ended;
    expect([second.code, second.out]).toEqual([0, expect.stringContaining(`is installed: ${path}`)]);
    expect(calls()).toBe(before);
  });

  test("builds it again with --force", async () => {
    await install().ended;
    const before = calls().length;
    expect((await install("--force").ended).code).toBe(0);
    expect(calls().length).toBeGreaterThan(before);
    expect(existsSync(placeOf(dataDir, bundledTag()))).toBe(true);
  });

  test("names everything that is missing and how to install it", async () => {
    for (const name of ["cmake", "c++"]) rmSync(join(folder, name));
    const { code, err } = await install().ended;
    expect(code).toBe(3);
    expect(err).toMatch(
      /tool_missing: .*needs cmake and a C\+\+ compiler: .*(apt install|brew install) cmake/,
    );
  });

  test("shows the end of a build that fails, and where all of it is", async () => {
    cmake('echo "[ 10%] one"; echo "ggml.c:7: error: it is broken" >&2; exit 2');
    const { code, err } = await install().ended;
    expect(code).toBe(3);
    expect(err).toMatch(/build_failed: cmake ended with exit code 2/);
    expect(err).toContain("error: it is broken");
    const log = join(dataDir, "llama-server", "build.log");
    expect([err.includes(log), readFileSync(log, "utf8").includes("it is broken")]).toEqual([true, true]);
    expect([leftovers(), findLlamaServer(dataDir)]).toEqual([[], undefined]);
  });

  test("says that the disk is full when it is", async () => {
    cmake('echo "fatal error: error writing to x.o: No space left on device"; exit 1');
    const { code, err } = await install().ended;
    expect([code, err]).toEqual([3, expect.stringContaining("disk_full: The disk is full")]);
    expect(leftovers()).toEqual([]);
  });

  test("leaves nothing when it is interrupted", async () => {
    cmake(`touch ${folder}/begun; sleep 600`);
    const { child, ended } = install();
    await until(() => existsSync(join(folder, "begun")));
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 130, out: expect.stringContaining("nothing was installed") });
    expect([leftovers(), findLlamaServer(dataDir)]).toEqual([[], undefined]);
  });

  test("is not installed when it was killed half-way, and the next run removes what is left", async () => {
    cmake(`echo $$ > ${folder}/pid.new && mv ${folder}/pid.new ${folder}/pid; exec sleep 600`);
    const { child, ended } = install();
    await until(() => existsSync(join(folder, "pid")));
    child.kill("SIGKILL");
    await ended;
    expect([leftovers().length, findLlamaServer(dataDir)]).toEqual([1, undefined]);
    process.kill(Number(readFileSync(join(folder, "pid"), "utf8")), "SIGKILL");
    cmake("true");
    expect((await install().ended).code).toBe(0);
    expect(leftovers()).toEqual([bundledTag()]);
  });
});

describe("what is missing and how to install it", () => {
  test.each<[string[], NodeJS.Platform, string]>([
    [["cmake"], "darwin", "`brew install cmake`"],
    [["git", "a C++ compiler"], "darwin", "`xcode-select --install`"],
    [
      ["git", "cmake", "make"],
      "linux",
      "`sudo apt install git cmake build-essential` (or what your system calls them)",
    ],
  ])("%j on %s", (lacking, platform, words) => expect(howToInstall(lacking, platform)).toBe(words));
});

describe("how far a build is", () => {
  test.each([
    ["[12/330] Building C object ggml.c.o", { done: 12, total: 330 }],
    ["[  5%] Building C object", { done: 5, total: 100 }],
    ["[100%] Built target llama-server", { done: 100, total: 100 }],
    ["-- Found Git", undefined],
    ["warning: [1/2] of them", undefined],
  ])("%s", (line, steps) => expect(stepsIn(line)).toEqual(steps));

  test("is shown as a bar, with steps where there are steps", () => {
    expect(barOf({ done: 165, total: 330 }, 8)).toBe("▕████    ▏ 50 %  165 of 330");
    expect(barOf({ done: 45, total: 100 }, 4)).toBe("▕█   ▏ 45 %");
    expect(barOf({ done: 0, total: 0 }, 2)).toBe("▕  ▏ 0 %");
    expect([minutes(9_000), minutes(754_000)]).toEqual(["0:09", "12:34"]);
  });
});
