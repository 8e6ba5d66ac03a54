// The tools a build needs: whether they are there, and what to install when they are not.
import { spawn } from "node:child_process";
import { KamadoError } from "../../errors.ts";

type Platform = NodeJS.Platform;
export type Builder = "ninja" | "make";

/** Throws `tool_missing`, which names all that is missing at once. Ninja is taken where it is there: it counts its steps. */
export async function findTools(platform: Platform = process.platform): Promise<Builder> {
  // Apple's stand-ins for git and the compiler open a window when the real ones are not installed.
  const isApple = platform === "darwin";
  if (isApple && !(await runs("xcode-select", "-p"))) throw missing(["git", "a C++ compiler"], platform);
  const [git, cmake, compiler, ninja, make] = await Promise.all([
    runs("git"),
    runs("cmake"),
    anyRuns("c++", "g++", "clang++"),
    runs("ninja"),
    runs("make"),
  ]);
  const lacking = [
    git ? "" : "git",
    cmake ? "" : "cmake",
    compiler ? "" : "a C++ compiler",
    ninja || make ? "" : "make",
  ].filter(Boolean);
  if (lacking.length > 0) throw missing(lacking, platform);
  return ninja ? "ninja" : "make";
}

/** What to type to get it; pure. */
export function howToInstall(lacking: readonly string[], platform: Platform): string {
  if (platform === "darwin") {
    const commands = lacking.map((tool) =>
      tool === "cmake" ? "brew install cmake" : "xcode-select --install",
    );
    return [...new Set(commands)].map((command) => `\`${command}\``).join(" and ");
  }
  const packages = lacking.map((tool) => (tool === "git" || tool === "cmake" ? tool : "build-essential"));
  return `\`sudo apt install ${[...new Set(packages)].join(" ")}\` (or what your system calls them)`;
}

function missing(lacking: readonly string[], platform: Platform): KamadoError {
  const message = `llama-server is built here, and that needs ${lacking.join(" and ")}: ${howToInstall(lacking, platform)}.`;
  return new KamadoError("tool_missing", message);
}

async function anyRuns(...commands: string[]): Promise<boolean> {
  return (await Promise.all(commands.map((command) => runs(command)))).includes(true);
}

function runs(command: string, argument = "--version"): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, [argument], { stdio: "ignore" });
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === 0));
  });
}
