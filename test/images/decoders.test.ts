// The processes that decode pictures: what ends them, and that they cost only the picture that they decode.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import * as hostile from "../../bench/hostile-pictures.ts";
import { cpuSeconds } from "../../bench/process-usage.ts";
import { type DecodeLimits, Decoders, type Picture } from "../../worker/images/decoders.ts";
import { IMAGE_LIMITS } from "../../worker/images/safe-image.ts";
import { decoderPids, isRunning, NO_PROC, peakMemory } from "./decoder-processes.ts";

const healthy: Picture = { bytes: hostile.png(40, 30), format: "png", limits: IMAGE_LIMITS };
const SLOW = hostile.slow();
const slow = (limits: Partial<DecodeLimits> = {}): Picture => ({
  bytes: SLOW,
  format: "png",
  limits: { ...IMAGE_LIMITS, maxPixels: hostile.SLOW_PIXELS, ...limits },
});

afterEach(async () => {
  for (const pid of decoderPids()) process.kill(pid, "SIGKILL");
  await expect.poll(() => decoderPids()).toEqual([]);
});

const itsProcess = async (): Promise<number> => {
  await expect.poll(() => decoderPids()).toHaveLength(1);
  return decoderPids()[0]!;
};

/** Its start takes less time of the CPU. */
const untilItWorks = (pid: number) =>
  expect.poll(() => cpuSeconds(pid), { timeout: 20_000 }).toBeGreaterThan(1.5);

describe("a picture", () => {
  test("that takes too long is ended, and the pictures of others that wait for its turn are decoded", async () => {
    const decoders = new Decoders();
    const endless = [slow({ seconds: 1 }), slow({ cpuSeconds: 1 })].map((one) => decoders.decode(one));
    const waiting = await Promise.all([decoders.decode(healthy), decoders.decode(healthy)]);
    expect(waiting).toMatchObject([
      { decoded: { image: { width: 40 } } },
      { decoded: { image: { width: 40 } } },
    ]);
    expect(await Promise.all(endless)).toMatchObject([{ is: "too_slow" }, { is: "too_much_cpu" }]);
  });

  test("whose job ends is ended at once, and its turn goes to the next", async () => {
    const decoders = new Decoders({ atOnce: 1 });
    const job = new AbortController();
    const endless = decoders.decode(slow(), job.signal);
    const next = decoders.decode(healthy);
    const pid = await itsProcess();
    job.abort(new Error("the lease is lost"));
    await expect(endless).rejects.toThrow("the lease is lost");
    expect(isRunning(pid)).toBe(false);
    expect(await next).toMatchObject({ decoded: { image: { width: 40 } } });
  });

  test("whose job ends while it waits takes no turn", async () => {
    const decoders = new Decoders({ atOnce: 1 });
    const [first, second] = [new AbortController(), new AbortController()];
    const endless = decoders.decode(slow(), first.signal);
    const waiting = decoders.decode(healthy, second.signal);
    const last = decoders.decode(healthy);
    second.abort(new Error("canceled"));
    await expect(waiting).rejects.toThrow("canceled");
    first.abort();
    await expect(endless).rejects.toThrow();
    expect(await last).toMatchObject({ is: "decoded" });
    expect(decoderPids()).toHaveLength(1);
  });

  test("that takes too much memory ends its process soon after the limit, and nothing else", async (context) => {
    if (NO_PROC !== null) return context.skip(NO_PROC);
    const maxMemoryBytes = 200_000_000;
    const bytes = await hostile.avif(3_000, 3_000);
    const before = peakMemory("self")!;
    const decoded = new Decoders({ atOnce: 1 }).decode({
      bytes,
      format: "avif",
      limits: { ...IMAGE_LIMITS, maxMemoryBytes },
    });
    let ended = false;
    void decoded.finally(() => (ended = true));
    const pid = await itsProcess();
    let peak = 0;
    while (!ended) {
      peak = Math.max(peak, peakMemory(pid) ?? 0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await decoded).toMatchObject({ is: "too_much_memory" });
    expect(peak).toBeLessThan(maxMemoryBytes + 100_000_000);
    expect(peakMemory("self")! - before).toBeLessThan(50_000_000);
  });

  test("that crashes its process ends alone", async () => {
    const decoders = new Decoders({ atOnce: 1 });
    const endless = decoders.decode(slow());
    const pid = await itsProcess();
    await untilItWorks(pid);
    process.kill(pid, "SIGSEGV");
    expect(await endless).toEqual({ is: "crashed", how: "SIGSEGV" });
    expect(await decoders.decode(healthy)).toMatchObject({ is: "decoded" });
  });
});

describe("a process", () => {
  test("is used again, and is replaced when it was killed meanwhile", async () => {
    const decoders = new Decoders({ atOnce: 1 });
    await decoders.decode(healthy);
    const pid = await itsProcess();
    await decoders.decode(healthy);
    expect(decoderPids()).toEqual([pid]);
    process.kill(pid, "SIGKILL");
    expect(await decoders.decode(healthy)).toMatchObject({ is: "decoded" });
    expect(await itsProcess()).not.toBe(pid);
  });

  test("that still holds much memory after a picture is not kept", async () => {
    const decoders = new Decoders({ atOnce: 1, maxKeptBytes: 10_000_000 });
    expect(await decoders.decode(healthy)).toMatchObject({ is: "decoded" });
    await expect.poll(() => decoderPids()).toEqual([]);
  });

  test("does not stay when no pictures come", async () => {
    const decoders = new Decoders({ idleMs: 50 });
    await Promise.all([decoders.decode(healthy), decoders.decode(healthy)]);
    await expect.poll(() => decoderPids()).toEqual([]);
    expect(await decoders.decode(healthy)).toMatchObject({ is: "decoded" });
  });

  test("is not ended by the Ctrl-C or the stop of a service that is meant for its parent", async () => {
    const decoders = new Decoders({ atOnce: 1 });
    await decoders.decode(healthy);
    const pid = await itsProcess();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.kill(pid, signal);
    await decoders.decode(healthy);
    expect(decoderPids()).toEqual([pid]);
  });

  test("sees nothing of its parent's environment", async (context) => {
    if (NO_PROC !== null) return context.skip(NO_PROC);
    await new Decoders().decode(healthy);
    const environment = readFileSync(`/proc/${await itsProcess()}/environ`, "latin1").split("\0");
    const names = environment.filter(Boolean).map((entry) => entry.split("=")[0]!);
    // Node adds its own, for the channel between the two.
    expect(names.filter((name) => !name.startsWith("NODE_CHANNEL_"))).toEqual(["VIPS_DISC_THRESHOLD"]);
  });
});

describe("the process that has pictures decoded", () => {
  const script = (picture: string) => `
    import { safeImage } from ${JSON.stringify(new URL("../../worker/images/safe-image.ts", import.meta.url))};
    import * as pictures from ${JSON.stringify(new URL("../../bench/hostile-pictures.ts", import.meta.url))};
    await safeImage(pictures.${picture}, { maxPixels: pictures.SLOW_PIXELS });
    process.stdout.write("decoded");
  `;
  const run = (picture: string) =>
    spawn(process.execPath, ["--input-type=module", "--eval", script(picture)], {
      stdio: ["ignore", "pipe", "inherit"],
    });

  test("ends by itself although a decoder is idle, which ends too", async () => {
    const parent = run("png(8, 8)");
    const exit = once(parent, "exit");
    await once(parent.stdout, "data");
    const decoders = decoderPids(parent.pid);
    expect(await exit).toEqual([0, null]);
    await expect.poll(() => decoders.filter(isRunning)).toEqual([]);
  });

  test("leaves no decoder behind when it is killed, in the middle of a picture", async () => {
    const parent = run("slow()");
    await expect.poll(() => decoderPids(parent.pid), { timeout: 20_000 }).toHaveLength(1);
    const [decoder] = decoderPids(parent.pid);
    await untilItWorks(decoder!);
    parent.kill("SIGKILL");
    await expect.poll(() => isRunning(decoder!)).toBe(false);
  });
});
