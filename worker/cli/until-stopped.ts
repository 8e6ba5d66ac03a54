// SIGTERM and SIGINT for commands that run until they are stopped: the first signal stops in order, the second at once. SIGHUP, which
// comes when the terminal is closed, counts as the first, and never as the second: a shell may send it more than once.

/** Resolves at the first signal. `onSecond` is called at the second. */
export function untilStopped(onSecond: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let first = true;
    const onSignal = (signal: NodeJS.Signals) => {
      if (!first) return onSecond();
      first = false;
      resolve(signal);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
    process.on("SIGHUP", (signal) => first && onSignal(signal));
    // Nobody reads what a closed terminal is told, and that must not end the stop.
    for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  });
}
