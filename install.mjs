// Runs before every npm script, on whatever Node the machine has: brings node_modules up to package-lock.json.
// No dependency and plain syntax on purpose; everything after it runs on the Node that the lock pins.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const stamp = join(root, "node_modules", ".kamado-lock");
const lock = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");

function fail(words) {
  process.stderr.write(`kamado: ${words}\n`);
  process.exit(1);
}

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  process.stderr.write("kamado: installing what package-lock.json names, once …\n");
  // Install scripts stay off: the packages carry their binaries, and a build from source would take many minutes.
  const npm = ["npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]];
  const { status } = spawnSync(...npm, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) fail("npm could not install; its words are above.");
  const pinned = existsSync(join(root, "node_modules", ".bin", "node"));
  if (!pinned && Number(process.versions.node.split(".")[0]) < 24) {
    fail("the lock brings no Node for this platform; install Node 24 or later.");
  }
  writeFileSync(stamp, lock);
}
