// `kamado engine install-llama-server`: builds it with progress one can see; a second run says that it is there.
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { loadConfig } from "../../config/config.ts";
import { installLlamaServer, type Phase } from "../../engine/install/install.ts";
import { bundledTag, findLlamaServer, placeOf } from "../../engine/install/place.ts";
import { barOf, clock, percentOf, type Steps } from "../../engine/install/progress.ts";
import { LiveBlock, paint } from "../../logging/terminal.ts";
import { flagsOf, toVariables } from "../flags.ts";

const WORDS: Record<Phase, string> = {
  unpack: "unpacking the source",
  configure: "looking at this machine",
  build: "building",
};

export function installCommand(): Command {
  return new Command("install-llama-server")
    .description("build llama-server from the source that comes with Kamado; pictures on a Mac's GPU need it")
    .option("--force", "build it again even if it is there")
    .option("--jobs <n>", "how many compilers run at the same time", whole, availableParallelism())
    .option("--data-dir <folder>", "where Kamado stores its data (KAMADO_DATA_DIR)")
    .action(async (own: { force?: true; jobs: number }, command: Command) => {
      const { dataDir } = loadConfig(toVariables(flagsOf(command)));
      const tag = bundledTag();
      if (own.force === undefined && findLlamaServer(dataDir) === placeOf(dataDir, tag))
        return say(`llama-server ${tag} is there: ${placeOf(dataDir, tag)} (--force builds it again)`);
      await install(dataDir, tag, own.jobs);
    });
}

async function install(dataDir: string, tag: string, jobs: number): Promise<void> {
  const cut = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => cut.abort());
  const show = new Progress(tag);
  try {
    const onProgress = (phase: Phase, steps: Steps | undefined) => show.become(phase, steps);
    const { path } = await installLlamaServer({ dataDir, jobs, onProgress, signal: cut.signal });
    show.end(`${paint("green", "llama-server is built.")} ${path}  (${show.time})`);
  } catch (thrown) {
    show.end("");
    if (!cut.signal.aborted) throw thrown;
    say("Interrupted; nothing was installed.");
    process.exit(130);
  } finally {
    show.stop();
  }
}

/** One line that is drawn over itself on a terminal; elsewhere a line a phase and a line every ten percent. */
class Progress {
  readonly #begun = performance.now();
  readonly #block = new LiveBlock();
  readonly #tag: string;
  // The clock goes on while a long file compiles.
  readonly #timer = setInterval(() => this.#draw(), 1_000);
  #phase: Phase | undefined;
  #steps: Steps | undefined;
  #told = 0;

  constructor(tag: string) {
    this.#tag = tag;
  }

  get time(): string {
    return clock(performance.now() - this.#begun);
  }

  become(phase: Phase, steps: Steps | undefined): void {
    const isNew = phase !== this.#phase;
    this.#phase = phase;
    this.#steps = steps;
    this.#draw();
    if (this.#block.isLive) return;
    if (isNew) say(`llama-server ${this.#tag}: ${WORDS[phase]}`);
    const tens = steps ? Math.floor(percentOf(steps) / 10) : 0;
    if (tens <= this.#told) return;
    this.#told = tens;
    say(`llama-server ${this.#tag}: ${tens * 10} %  ${this.time}`);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Takes the moving line away and leaves `line`. */
  end(line: string): void {
    this.stop();
    this.#block.draw([]);
    if (line !== "") say(line);
  }

  #draw(): void {
    if (this.#phase === undefined || !this.#block.isLive) return;
    const bar = this.#steps ? `  ${barOf(this.#steps)}` : "";
    this.#block.draw([`llama-server ${this.#tag}: ${WORDS[this.#phase]}${bar}  ${this.time}`]);
  }
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

function whole(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return Number(text);
}
