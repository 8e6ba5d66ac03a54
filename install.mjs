// Runs before every npm script, on whatever Node the machine has: brings node_modules up to package-lock.json.
// No dependency and old syntax on purpose; everything after it runs on the Node that the lock pins.
import { execSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const stamp = join(root, "node_modules", ".kamado-lock");
const lock = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  process.stderr.write("kamado: installing what package-lock.json names, once …\n");
  // Install scripts stay off: the packages carry their binaries, and a build from source would take many minutes.
  execSync("npm ci --ignore-scripts --no-audit --no-fund --loglevel=error", {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (
    !existsSync(join(root, "node_modules", ".bin", "node")) &&
    Number(process.versions.node.split(".")[0]) < 24
  ) {
    process.stderr.write(
      "kamado: no Node comes with the lock for this platform; install Node 24 or later.\n",
    );
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}
