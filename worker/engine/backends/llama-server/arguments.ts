// How llama-server is started: its arguments, and what each is for. Pure.

export type ServerOptions = {
  model: string;
  mmproj?: string | undefined;
  slots: number;
  /** of one slot, in tokens */
  contextSize: number;
  threads?: number | undefined;
};
/** What differs from run to run. `folder` is private to this process. */
export type Address = { port: number; keyFile: string; folder: string };

// What it keeps of prompts besides its slots; its own default would take half of a small machine's memory.
const CACHE_MEGABYTES = 1_024;
const SPARE_THREADS = 8;
const STEP = 512;

export function argumentsFor(options: ServerOptions, { port, keyFile, folder }: Address): string[] {
  const { model, mmproj, slots, contextSize, threads } = options;
  return [
    ["--model", model],
    mmproj === undefined ? [] : ["--mmproj", mmproj],
    ["--host", "127.0.0.1", "--port", String(port), "--api-key-file", keyFile],
    ["--parallel", String(slots), "--ctx-size", String(contextSize * slots)],
    // One for each answer that is being given, and some for prompts that are being made ready.
    ["--threads-http", String(slots + SPARE_THREADS)],
    threads === undefined ? [] : ["--threads", String(threads)],
    // Between two steps it notices who went away, and others get their tokens. A picture must fit into one step.
    mmproj === undefined ? ["--batch-size", String(STEP)] : [],
    // An over-long prompt is refused, and an answer ends where the context does: nothing is shifted out.
    ["--no-context-shift"],
    // Models with a sliding window could not take up a shared prefix again without it.
    ["--swa-full"],
    ["--cache-ram", String(CACHE_MEGABYTES)],
    ["--slot-save-path", `${folder}/`],
    // A conversation that ends with an answer is complete: the next one begins after it.
    ["--jinja", "--no-prefill-assistant"],
    ["--metrics", "--no-webui", "--offline"],
    // Errors and warnings; more would print prompts.
    ["--log-verbosity", "2", "--log-colors", "off"],
  ].flat();
}
