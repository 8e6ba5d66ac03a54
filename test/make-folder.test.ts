// Folders that cannot be made.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeFolder } from "../worker/make-folder.ts";

const folder = () => mkdtempSync(join(tmpdir(), "kamado-make-"));

test("a folder is made with those above it, and one that is there stays as it is", () => {
  const path = join(folder(), "a/b");
  makeFolder(path, 0o700);
  chmodSync(path, 0o755);
  makeFolder(path, 0o700);
  expect([statSync(join(path, "..")).mode & 0o777, statSync(path).mode & 0o777]).toEqual([0o700, 0o755]);
});

test("a file in the way is named by its own error", () => {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  expect(() => makeFolder(join(file, "data"))).toThrow("ENOTDIR");
});

/** A disk that is read-only needs a name space of its own, which some systems do not give to users. */
const mount = (then: string, path: string) => [
  "--user",
  "--map-root-user",
  "--mount",
  "sh",
  "-c",
  `mount -t tmpfs -o ro tmpfs "$1" && ${then}`,
  "sh",
  path,
];
const reason =
  spawnSync("unshare", mount("true", folder())).status === 0 ? null : "unshare cannot mount a read-only disk";

test.skipIf(reason !== null)(
  `on a disk that is read-only the error says so${reason === null ? "" : ` (skipped: ${reason})`}`,
  () => {
    const module = join(import.meta.dirname, "../worker/make-folder.ts");
    const code = `import { makeFolder } from ${JSON.stringify(module)};
      try { makeFolder(process.argv.at(-1) + "/data/more"); } catch ({ code }) { console.log(code); }`;
    const run = `${JSON.stringify(process.execPath)} --input-type=module -e '${code}' "$1"`;
    const path = folder();
    expect(execFileSync("unshare", mount(run, path), { encoding: "utf8" }).trim()).toBe("EROFS");
    expect(existsSync(join(path, "data"))).toBe(false);
  },
);
