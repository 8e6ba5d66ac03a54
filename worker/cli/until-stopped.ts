// SIGTERM and SIGINT for commands that run until they are stopped: the first signal stops in order, the second at once.

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
  });
}
