// `kamado init` and the file it writes, as a person meets them: commands, folders, terminals.
import { mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runKamado } from "./process.ts";

const folder = () => mkdtempSync(join(tmpdir(), "kamado-init-"));

const run = (args: string[], variables: Record<string, string> = {}, cwd = folder()) =>
  runKamado(args, variables, { cwd, input: "{}" });

test("init writes a file for its owner only, and never replaces one", async () => {
  const place = folder();
  const path = join(place, "kamado.toml");
  expect(await run(["init"], {}, place)).toMatchObject({ code: 0, errors: "" });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  writeFileSync(path, "slots = 3");
  expect(await run(["init"], {}, place)).toMatchObject({
    code: 2,
    errors: expect.stringContaining("is there already"),
  });
  expect(readFileSync(path, "utf8")).toBe("slots = 3");
}, 60_000);

test("init --user writes where every folder's commands find it", async () => {
  const home = folder();
  const { code, out } = await run(["init", "--user"], { XDG_CONFIG_HOME: home });
  expect([code, out]).toEqual([0, expect.stringContaining(join(home, "kamado", "kamado.toml"))]);
}, 60_000);

test("a folder that cannot be made is named, and no stack is shown", async () => {
  const place = folder();
  writeFileSync(join(place, "file"), "");
  const { code, errors } = await run(["init", "--user"], { XDG_CONFIG_HOME: join(place, "file") });
  expect({ code, errors }).toEqual({
    code: 2,
    errors: expect.stringContaining("cannot be written (ENOTDIR)"),
  });
  expect(errors).not.toContain("    at ");
}, 60_000);

// A wrong port ends every command at once, before it does anything.
test.each([
  [["worker"]],
  [["serve"]],
  [["engine"]],
  [["engine", "calibrate"]],
  [["engine", "install-llama-server"]],
  [["run", "prompt", "--input", "-"]],
  [["enqueue", "prompt", "--input", "-"]],
  [["cancel", "a"]],
  [["dead", "list"]],
  [["demo"]],
  [["bench", "engine"]],
  [["status"]],
  [["jobs"]],
  [["queue", "purge", "--yes"]],
])(
  "kamado %s reads kamado.toml from a folder above",
  async (args) => {
    const place = folder();
    const inner = join(place, "deep", "er");
    mkdirSync(inner, { recursive: true });
    writeFileSync(join(place, "kamado.toml"), "web_port = 99999\n", { mode: 0o600 });
    const { code, errors } = await run(args, {}, inner);
    expect({ code, errors }).toEqual({
      code: 2,
      errors: expect.stringMatching(
        /KAMADO_WEB_PORT: must be a whole number from 0 to 65535 \(got "99999", in /,
      ),
    });
  },
  60_000,
);

test.each([
  [["run", "nothing", "--input", "-"], "unknown_kind"],
  [["kinds", "nope"], "this worker knows"],
  [["completion", "bash"], ""],
  [["init"], ""],
])(
  "kamado %s names a mistyped variable with the nearest one, and goes on",
  async (args, further) => {
    const { errors } = await run(args, { KAMADO_MODLE: "x.gguf" });
    expect(errors).toContain(
      "KAMADO_MODLE is ignored: there is no such variable; did you mean KAMADO_MODEL?",
    );
    expect(errors).toContain(further);
  },
  60_000,
);

test("a mistyped key in the file ends the command with the nearest one", async () => {
  const place = folder();
  writeFileSync(join(place, "kamado.toml"), 'modle = "x.gguf"\n');
  const { code, errors } = await run(["run", "prompt", "--input", "-"], {}, place);
  expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining("did you mean model?") });
}, 60_000);
