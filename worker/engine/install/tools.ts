// Finds the tools that a build needs, and says what to install when one is missing.
import { spawn } from "node:child_process";
import { KamadoError } from "../../errors.ts";
import type { Environment } from "./step.ts";

type Platform = NodeJS.Platform;
export type Builder = "ninja" | "make";

/** Throws `tool_missing`, which names all that is missing at once. Prefers Ninja, which counts its steps. */
export async function findTools(env: Environment, platform: Platform = process.platform): Promise<Builder> {
  // On a Mac without the developer tools, git and the compiler are stubs that open a window. This question does not.
  const isApple = platform === "darwin";
  if (isApple && !(await runs(env, "xcode-select", "-p"))) throw missing(["git", "a C++ compiler"], platform);
  const [git, cmake, compiler, ninja, make] = await Promise.all([
    runs(env, "git"),
    runs(env, "cmake"),
    anyRuns(env, "c++", "g++", "clang++"),
    runs(env, "ninja"),
    runs(env, "make"),
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

/** The commands that install what is missing. Pure. */
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
  const message = `Building llama-server needs ${lacking.join(" and ")}: ${howToInstall(lacking, platform)}.`;
  return new KamadoError("tool_missing", message);
}

async function anyRuns(env: Environment, ...commands: string[]): Promise<boolean> {
  return (await Promise.all(commands.map((command) => runs(env, command)))).includes(true);
}

function runs(env: Environment, command: string, argument = "--version"): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, [argument], { stdio: "ignore", env });
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === 0));
  });
}
