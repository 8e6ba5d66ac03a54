// Runs before every npm script, on whatever Node the machine has: brings node_modules up to package-lock.json.
// No dependency and plain syntax on purpose; everything after it runs on the Node that the lock pins.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
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

// Two commands at the same time must not install into one folder: npm ci begins by deleting what the other has written. The first
// writes this file, which npm leaves alone, with its own number and that of its npm, which may outlive it.
const turn = join(root, ".kamado-installing");
const LOOK_EVERY_MS = 300;
/** The file is touched while an installation goes on; the numbers of one that was killed may be another process's by now. */
const TOUCH_EVERY_MS = 30_000;
const FORGOTTEN_MS = 15 * 60_000;
/** Without a number in it, it is just being written. */
const WRITTEN_MS = 2_000;

const isInstalled = () => existsSync(stamp) && readFileSync(stamp, "utf8") === lock;

/** Resolves when it is this process's turn, which ends with the process. */
async function takeTurn() {
  let isTold = false;
  while (!(await isOurs())) {
    if (!isTold)
      say(`another command installs already (process ${holders()[0] ?? "unknown"}); waiting for it.`);
    isTold = true;
    do await sleep(LOOK_EVERY_MS);
    while (isHeld());
  }
  process.on("exit", () => holders()[0] === process.pid && rmSync(turn, { force: true }));
}

async function isOurs() {
  const own = String(process.pid);
  try {
    writeFileSync(turn, own, { flag: "wx" });
    return true;
  } catch ({ code }) {
    if (code !== "EEXIST") fail(`this folder cannot be written (${code}): ${root}. ${whatToDo(code)}`);
  }
  if (isHeld()) return false;
  // Several may find it forgotten at the same time. Of those that replace it the last one has it, which they see a moment later.
  const mine = `${turn}.${own}`;
  writeFileSync(mine, own);
  renameSync(mine, turn);
  await sleep(LOOK_EVERY_MS);
  return holders()[0] === process.pid;
}

const whatToDo = (code) =>
  code === "ENOSPC"
    ? "The disk is full: free 2 GB and run the command again."
    : "Run the command as the user that owns the folder, or clone it where you may write.";

function holders() {
  try {
    return readFileSync(turn, "utf8").split(" ").map(Number).filter(Boolean);
  } catch {
    return [];
  }
}

function isHeld() {
  const age = Date.now() - (statSync(turn, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const all = holders();
  return all.length === 0 ? age < WRITTEN_MS : age < FORGOTTEN_MS && all.some(isAlive);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch ({ code }) {
    return code === "EPERM";
  }
}

/** The packages of the lock that this platform gets, as folders. */
function expected(folder) {
  const fits = (list, own) => !list || list.includes(own);
  return Object.entries(JSON.parse(text).packages)
    .filter(([path, { os, cpu }]) => path !== "" && fits(os, process.platform) && fits(cpu, process.arch))
    .map(([path]) => join(folder, path));
}

/** On a terminal one line that changes; elsewhere a line every half minute. */
function showProgress(folder) {
  const folders = expected(folder);
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

/** Packages of an update are installed beside the old ones: what runs from this folder, such as a service, goes on loading those. */
const next = join(root, ".kamado-next");

function folderToInstall() {
  rmSync(next, { recursive: true, force: true });
  if (!existsSync(join(root, "node_modules"))) return root;
  mkdirSync(next);
  for (const file of ["package.json", "package-lock.json", ".npmrc"])
    if (existsSync(join(root, file))) copyFileSync(join(root, file), join(next, file));
  return next;
}

/** Two renames, between which there are no packages for less than a millisecond. What is cached stays. */
function exchange() {
  const [old, fresh] = [join(root, "node_modules"), join(next, "node_modules")];
  if (existsSync(join(old, ".cache"))) renameSync(join(old, ".cache"), join(fresh, ".cache"));
  renameSync(old, join(next, "old"));
  renameSync(fresh, old);
}

function install(cwd) {
  // Install scripts stay off: the packages carry their binaries, and a build from source would take many minutes.
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"];
  const done = showProgress(cwd);
  return new Promise((resolve) => {
    const child = spawn("npm", flags, {
      cwd,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    });
    if (child.pid !== undefined) writeFileSync(turn, `${process.pid} ${child.pid}`);
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

async function installOnce() {
  say(
    "installing what package-lock.json names, once: 1 to 5 minutes, and up to 1.6 GB in node_modules, most of it for running models.",
  );
  const touch = setInterval(() => utimesSync(turn, new Date(), new Date()), TOUCH_EVERY_MS);
  let failure;
  try {
    const folder = folderToInstall();
    failure = await install(folder);
    if (failure === null && folder === next) exchange();
  } catch ({ code }) {
    failure = `the packages cannot be written (${code}). ${whatToDo(code)}`;
  }
  rmSync(next, { recursive: true, force: true });
  clearInterval(touch);
  if (failure !== null) fail(failure);
  const pinned = existsSync(join(root, "node_modules", ".bin", "node"));
  if (!pinned && major < 24) fail("the lock brings no Node for this platform; install Node 24 or later.");
  try {
    writeFileSync(stamp, lock);
  } catch ({ code }) {
    fail(`${stamp} cannot be written (${code}). ${whatToDo(code)}`);
  }
}

if (!isInstalled()) {
  await takeTurn();
  // Whoever had it before may have installed.
  if (!isInstalled()) await installOnce();
}
