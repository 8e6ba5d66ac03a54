// Whether a process of this machine still runs. After a restart its number may be another process's, and in a container that of a process
// outside; whoever asks must know more of it than its number.

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    // Another user's process cannot be signalled (EPERM), but it runs.
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}
