// Runs before every npm script, on whatever Node the machine has: brings node_modules up to package-lock.json.
// No dependency and plain syntax on purpose; everything after it runs on the Node that the lock pins.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const stamp = join(root, "node_modules", ".kamado-lock");
const text = readFileSync(join(root, "package-lock.json"));
const lock = createHash("sha256").update(text).digest("hex");

/** npm of an older Node cannot read the lock, and its Node cannot run this file's successors. */
const OLDEST = 20;

function say(words) {
  process.stderr.write(`kamado: ${words}\n`);
}
function fail(words) {
  say(words);
  process.exit(1);
}

const major = Number(process.versions.node.split(".")[0]);
if (major < OLDEST) {
  fail(
    `this is Node ${process.versions.node}; install Node ${OLDEST} or later (https://nodejs.org) and run the command again.`,
  );
}

/** The packages of the lock that this platform gets, as folders. */
function expected() {
  const fits = (list, own) => !list || list.includes(own);
  return Object.entries(JSON.parse(text).packages)
    .filter(([path, { os, cpu }]) => path !== "" && fits(os, process.platform) && fits(cpu, process.arch))
    .map(([path]) => join(root, path));
}

/** On a terminal one line that changes; elsewhere a line every half minute. */
function showProgress() {
  const folders = expected();
  const { isTTY } = process.stderr;
  const began = Date.now();
  const tell = () => {
    const there = folders.filter((folder) => existsSync(join(folder, "package.json"))).length;
    const seconds = Math.round((Date.now() - began) / 1000);
    const line = `${there} of about ${folders.length} packages, ${seconds} s`;
    if (isTTY) process.stderr.write(`\r  ${line}   `);
    else say(line);
  };
  const timer = setInterval(tell, isTTY ? 1000 : 30000);
  return () => {
    clearInterval(timer);
    if (isTTY) process.stderr.write("\r\u001b[K");
  };
}

function install() {
  // Install scripts stay off: the packages carry their binaries, and a build from source would take many minutes.
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"];
  const done = showProgress();
  return new Promise((resolve) => {
    const child = spawn("npm", flags, {
      cwd: root,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    });
    child.on("error", ({ code }) => {
      done();
      resolve(
        code === "ENOENT"
          ? "npm is missing; install it (it comes with Node from https://nodejs.org)."
          : `npm could not be started (${code}).`,
      );
    });
    child.on("close", (status) => {
      done();
      resolve(
        status === 0
          ? null
          : "npm could not install; its words are above. Mend that and run the command again.",
      );
    });
  });
}

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  say(
    "installing what package-lock.json names, once: 1 to 5 minutes, and up to 1.6 GB in node_modules, most of it for running models.",
  );
  const failure = await install();
  if (failure !== null) fail(failure);
  const pinned = existsSync(join(root, "node_modules", ".bin", "node"));
  if (!pinned && major < 24) fail("the lock brings no Node for this platform; install Node 24 or later.");
  writeFileSync(stamp, lock);
}
