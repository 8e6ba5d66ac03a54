// `kamado engine install-llama-server`: builds llama-server and shows the progress. A second run says that it is installed.
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { buildEnvironment } from "../../config/config.ts";
import { installLlamaServer, type Phase, type Steps } from "../../engine/install/install.ts";
import { bundledTag, findLlamaServer, placeOf } from "../../engine/install/place.ts";
import { LiveBlock, paint } from "../../logging/terminal.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf, toVariables } from "../flags.ts";

const PHASES: Record<Phase, string> = {
  unpack: "unpacking the source",
  configure: "looking at this machine",
  build: "building",
};

export function installCommand(): Command {
  return examples(new Command("install-llama-server"), [
    "engine install-llama-server",
    "engine install-llama-server --force --jobs 2",
  ])
    .description("build llama-server from the source that comes with Kamado; pictures on a Mac's GPU need it")
    .option("--force", "build it again even if it is installed")
    .option("--jobs <n>", "how many compilers run at once", whole, availableParallelism())
    .option("--data-dir <folder>", "where Kamado keeps its data (KAMADO_DATA_DIR)")
    .action(async (own: { force?: true; jobs: number }, command: Command) => {
      const { dataDir } = configOf(toVariables(flagsOf(command)));
      const tag = bundledTag();
      if (own.force === undefined && findLlamaServer(dataDir) === placeOf(dataDir, tag))
        return say(`llama-server ${tag} is installed: ${placeOf(dataDir, tag)} (--force builds it again)`);
      await install(dataDir, tag, own.jobs);
    });
}

async function install(dataDir: string, tag: string, jobs: number): Promise<void> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  const progress = new Progress(tag);
  try {
    const onProgress = (phase: Phase, steps: Steps | undefined) => progress.update(phase, steps);
    const options = { dataDir, jobs, onProgress, environment: buildEnvironment() };
    const { path } = await installLlamaServer({ ...options, signal: interrupted.signal });
    progress.end(`${paint("green", "llama-server is built.")} ${path}  (${progress.time})`);
  } catch (thrown) {
    progress.end("");
    if (!interrupted.signal.aborted) throw thrown;
    say("Interrupted; nothing was installed.");
    process.exit(130);
  } finally {
    progress.stop();
  }
}

/** On a terminal one line that is drawn again and again; elsewhere a line for each phase and for every ten percent. */
class Progress {
  readonly #startedAt = performance.now();
  readonly #block = new LiveBlock();
  readonly #tag: string;
  // The shown time goes on while a long file compiles.
  readonly #timer = setInterval(() => this.#draw(), 1_000);
  #phase: Phase | undefined;
  #steps: Steps | undefined;
  #printedTens = 0;

  constructor(tag: string) {
    this.#tag = tag;
  }

  get time(): string {
    return minutes(performance.now() - this.#startedAt);
  }

  update(phase: Phase, steps: Steps | undefined): void {
    const isNew = phase !== this.#phase;
    this.#phase = phase;
    this.#steps = steps;
    this.#draw();
    if (this.#block.isLive) return;
    if (isNew) say(`llama-server ${this.#tag}: ${PHASES[phase]}`);
    const tens = steps ? Math.floor(percentOf(steps) / 10) : 0;
    if (tens <= this.#printedTens) return;
    this.#printedTens = tens;
    say(`llama-server ${this.#tag}: ${tens * 10} %  ${this.time}`);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Replaces the moving line with `line`. */
  end(line: string): void {
    this.stop();
    this.#block.draw([]);
    if (line !== "") say(line);
  }

  #draw(): void {
    if (this.#phase === undefined || !this.#block.isLive) return;
    const bar = this.#steps ? `  ${barOf(this.#steps)}` : "";
    this.#block.draw([`llama-server ${this.#tag}: ${PHASES[this.#phase]}${bar}  ${this.time}`]);
  }
}

/** `▕█████     ▏ 45 %  149 of 330`; the number of steps only where there are steps. */
export function barOf({ done, total }: Steps, width = 24): string {
  const share = Math.min(1, total === 0 ? 0 : done / total);
  const full = Math.floor(share * width);
  const bar = `▕${"█".repeat(full)}${" ".repeat(width - full)}▏`;
  const steps = total === 100 || total === 0 ? "" : `  ${done} of ${total}`;
  return `${bar} ${percentOf({ done, total })} %${steps}`;
}

const percentOf = ({ done, total }: Steps) => (total === 0 ? 0 : Math.floor(Math.min(1, done / total) * 100));

/** 75 seconds are `1:15`. */
export function minutes(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

function whole(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text))
    throw new InvalidArgumentError("It must be a whole number of at least 1.");
  return Number(text);
}
