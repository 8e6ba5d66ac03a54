// The command line itself: versions, help, what does not exist, completion.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { kamado, runKamado } from "./process.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const { version } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));

test.each(["--version", "-V"])("%s prints the version", async (flag) => {
  expect(await runKamado([flag])).toMatchObject({ code: 0, out: `${version} (Node ${process.version})\n` });
});

const COMMANDS = [
  ...[
    "serve",
    "worker",
    "engine",
    "engine calibrate",
    "engine install-llama-server",
    "research",
    "run",
    "map",
    "enqueue",
    "cancel",
  ],
  ...[
    "dead",
    "status",
    "jobs",
    "kinds",
    "schedules",
    "queue purge",
    "completion",
    "init",
    "demo",
    "model",
    "new",
    "read",
    "test",
    "setup aws",
    "service",
    "doctor",
    "uninstall",
  ],
];

test.each(COMMANDS)(
  "kamado %s --help has examples",
  async (name) => {
    const { out, code } = await runKamado([...name.split(" "), "--help"]);
    expect([out, code]).toEqual([expect.stringMatching(/Examples:\n +\$ \.\/kamado /), 0]);
  },
  60_000,
);

test("every command has a file of its own, and the list above has them all", () => {
  const files = readdirSync(`${ROOT}/worker/cli/commands`).filter((name) => !name.endsWith("-view.ts"));
  const own = COMMANDS.map(
    (name) =>
      `${name
        .replace(/^(engine) (install)-.*$|^(queue|setup) .*$/, "$1$3-$2")
        .replace(/-$/, "")
        .replace(" ", "-")}.ts`,
  );
  expect(files.toSorted()).toEqual([...own, "bench.ts"].toSorted());
});

test.each([
  [["foo"]],
  [["foo", "--help"]],
  [["foo", "-h"]],
  [["dead", "foo", "--help"]],
  [["engine", "foo", "--help"]],
  [["queue", "foo", "--help"]],
  [["kamado"]],
])(
  "what does not exist ends with 2, with and without --help: %j",
  async (args) => {
    expect(await runKamado(args)).toMatchObject({ code: 2, out: "" });
  },
  60_000,
);

test.each([[["--help"]], [["help"]], [["help", "dead"]], [["dead", "--help"]], [["dead", "list", "--help"]]])(
  "help of what exists ends well: %j",
  async (args) => expect(await runKamado(args)).toMatchObject({ code: 0, errors: "" }),
  60_000,
);

test.each([[["kinds", "image.check"]], [["--help"]], [["completion", "bash"]]])(
  "a reader that has enough, as head -1 has, is no error: %j",
  async (args) => {
    const child = kamado(args, {});
    child.stdout!.destroy();
    const [errors, [code]] = await Promise.all([text(child.stderr!), once(child, "exit")]);
    expect([errors, code]).toEqual(["", 0]);
  },
  60_000,
);

test("an engine of one's own offers no flag for another's", async () => {
  expect((await runKamado(["engine", "--help"])).out).not.toContain("--engine-url");
  expect(await runKamado(["engine", "--engine-url", "http://x"])).toMatchObject({ code: 2 });
}, 60_000);

test("a shell gets commands, subcommands, flags and kinds", async () => {
  const words = async (...line: string[]) =>
    (await runKamado(["complete", "--", ...line])).out.split("\n").map((one) => one.split("\t")[0]);
  expect(await words("enq")).toContain("enqueue");
  expect(await words("")).not.toContain("complete");
  expect(await words("dead", "")).toEqual(expect.arrayContaining(["list", "redrive"]));
  expect(await words("enqueue", "--w")).toContain("--wait");
  for (const command of ["run", "map", "enqueue", "kinds"])
    expect(await words(command, "im")).toContain("image.check");
  const files = await words("read", `${ROOT}/docs/ima`);
  expect(files).toEqual([`${ROOT}/docs/images/`, ":4", ""]);
  expect(await words("read", "a.html", `${ROOT}/docs/pag`)).toContain(`${ROOT}/docs/pages.md`);
}, 60_000);

test.each(["bash", "zsh", "fish"])(
  "the script for %s is one that the shell reads",
  async (shell) => {
    const { out, code } = await runKamado(["completion", shell]);
    expect([out, code]).toEqual([expect.stringContaining(`${ROOT}/kamado`), 0]);
    const found = spawnSync(shell, ["-n"], { input: out, encoding: "utf8", env: { PATH: process.env.PATH } });
    if (found.error) return console.log(`skipped: there is no ${shell} here to read its script`);
    expect(found.stderr).toBe("");
  },
  60_000,
);
