// Reads the machine's figures when somebody asks. One command runs at a time, each within a few seconds, and what it gave counts for some
// seconds, so that many pages cost as much as one. Nothing runs while nobody asks.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../async/clock.ts";
import { linuxSources } from "./linux.ts";
import { macSources } from "./mac.ts";
import {
  FIGURES,
  type Figure,
  joined,
  noneOf,
  type Part,
  type Ran,
  type Reading,
  type Run,
  type Source,
} from "./reading.ts";

/** What was read counts for so long. */
const FRESH_MS = 3_000;
/** powermetrics measures for half a second. */
const COMMAND_MS = 5_000;
/** Of a command's output; ioreg writes a few thousand characters. */
const MOST_OUTPUT = 1_000_000;

export type PowerReader = {
  /** The figures named, or all. Never throws; what cannot be had is absent. */
  read(figures?: readonly Figure[]): Promise<Reading>;
  /** What was read last, without reading anew; null before the first reading. */
  latest(): Reading | null;
};

type Known = { part: Part; at: number; wall: number; isFinal: boolean };

export function createPowerReader({
  sources,
  run,
  clock,
}: {
  sources: readonly Source[];
  run: Run;
  clock: Pick<Clock, "now" | "wall">;
}): PowerReader {
  const known = new Map<Source, Known>();
  const reading = new Map<Source, Promise<void>>();
  let last: Promise<void> = Promise.resolve();

  async function refresh(source: Source): Promise<void> {
    const { isFinal = false, ...part } = await source
      .read(run)
      .catch((thrown: unknown) => ({ ...noneOf(source.figures, (thrown as Error).message), isFinal: false }));
    known.set(source, { part, at: clock.now(), wall: clock.wall(), isFinal });
  }

  /** Behind the one that runs; whoever asks meanwhile gets the same answer. */
  function inTurn(source: Source): Promise<void> {
    const found = reading.get(source);
    if (found) return found;
    const turn = last.then(() => refresh(source)).finally(() => reading.delete(source));
    reading.set(source, turn);
    last = turn;
    return turn;
  }

  const isFresh = (source: Source) => {
    const one = known.get(source);
    return one !== undefined && (one.isFinal || clock.now() - one.at < FRESH_MS);
  };

  function readingOf(asked: readonly Source[], figures: readonly Figure[], unread: string): Reading {
    const all = asked.flatMap((source) => known.get(source) ?? []);
    const { found, absent = {} } = joined(all.map(({ part }) => part));
    const others = figures.filter((figure) => found[figure] === undefined && absent[figure] === undefined);
    const changing = all.filter(({ isFinal }) => !isFinal);
    return {
      at: Math.min(clock.wall(), ...changing.map(({ wall }) => wall)),
      ...found,
      absent: { ...absent, ...noneOf(others, unread).absent },
    };
  }

  return {
    async read(figures = FIGURES) {
      const asked = sources.filter((source) => source.figures.some((figure) => figures.includes(figure)));
      await Promise.all(asked.filter((source) => !isFresh(source)).map(inTurn));
      return readingOf(asked, figures, "not known on this system");
    },
    latest: () => (known.size === 0 ? null : readingOf(sources, FIGURES, "not read yet")),
  };
}

/** The sources of this machine. */
export function sourcesOf(platform: NodeJS.Platform, isRoot = process.getuid?.() === 0): Source[] {
  if (platform === "darwin") return macSources(isRoot);
  return platform === "linux" ? linuxSources() : [];
}

/**
 * Runs commands with the environment of services, which holds no secret. A command that does not end in time is killed; one that cannot be
 * killed, because it runs as root, is left, and not started again before it has ended.
 */
export function createRun(environment: Record<string, string | undefined>, timeoutMs = COMMAND_MS): Run {
  const stuck = new Set<string>();
  return async (command) => {
    const [program, ...list] = command;
    const line = command.join(" ");
    const tooLong: Ran = { is: "failed", why: `${program} took too long` };
    if (stuck.has(line)) return tooLong;
    const child = spawn(program!, list, { env: environment, stdio: ["ignore", "pipe", "ignore"] });
    const ended = outputOf(child, program!);
    const over = new AbortController();
    const late = sleep(timeoutMs, tooLong, { signal: over.signal }).catch(() => tooLong);
    const ran = await Promise.race([ended, late]);
    over.abort();
    if (ran !== tooLong) return ran;
    stuck.add(line);
    void ended.then(() => stuck.delete(line));
    child.kill("SIGKILL");
    // What it started may hold its output open for ever.
    child.stdout.destroy();
    child.unref();
    return ran;
  };
}

async function outputOf(child: ChildProcessByStdio<null, Readable, null>, program: string): Promise<Ran> {
  try {
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    return code === 0
      ? { is: "output", out: out.slice(0, MOST_OUTPUT) }
      : { is: "failed", why: `${program} failed with code ${code}` };
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === "ENOENT"
      ? { is: "missing" }
      : { is: "failed", why: `${program} could not be started (${code})` };
  }
}
